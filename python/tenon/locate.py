"""Where the driver and the runtime library are: in the installed package, in a build folder of this tree, or on the
system's paths; in this order."""

import ctypes.util
import pathlib
import shutil

PACKAGE = pathlib.Path(__file__).resolve().parent
TREE = PACKAGE.parent.parent


def _candidates(*parts):
    yield PACKAGE.joinpath(*parts)
    for build in ("dev", "release"):
        yield TREE.joinpath("build", build, *parts)


def driver():
    """Path of the `tenon` program."""
    for path in _candidates("bin", "tenon"):
        if path.is_file():
            return str(path)
    found = shutil.which("tenon")
    if found:
        return found
    raise FileNotFoundError("the tenon program is not there: build it with ./setup.sh build")


def runtime_library():
    """Path of the runtime's shared library: the one with devices, else the one for CPUs only."""
    names = ("tenon_rt_devices", "tenon_rt")
    for name in names:
        for path in _candidates("lib", f"lib{name}.so"):
            if path.is_file():
                return str(path)
    for name in names:
        if found := ctypes.util.find_library(name):
            return found
    raise FileNotFoundError("libtenon_rt.so is not there: build it with ./setup.sh build")


def run_driver():
    """The `tenon` command of an installed package: becomes the driver."""
    import os
    import sys
    path = driver() if PACKAGE.joinpath("bin", "tenon").is_file() else None
    if path is None:
        sys.exit("tenon: this package was built without its driver")
    os.execv(path, [path] + sys.argv[1:])
