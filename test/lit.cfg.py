"""lit configuration of tenon: the files of test/ that name their own commands in RUN lines."""

import importlib.util
import os

import lit.formats

config.name = "tenon"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".test"]
config.excludes = ["lit.cfg.py", "lit.site.cfg.py", "Inputs", "unit", "fuzz", "emulators", "CMakeLists.txt"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = config.tenon_test_exec_root

path = os.pathsep.join([config.tenon_tools_dir, config.llvm_tools_dir, os.environ.get("PATH", "")])
config.environment["PATH"] = path
config.environment["FILECHECK_OPTS"] = "-enable-var-scope --allow-unused-prefixes=false"
config.environment["PYTHONDONTWRITEBYTECODE"] = "1"
for name in ("LD_LIBRARY_PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "PYENV_VERSION", "PYENV_ROOT", "VIRTUAL_ENV"):
    if name in os.environ:
        config.environment[name] = os.environ[name]

config.substitutions.append(("%python", '"%s"' % config.python_executable))
config.substitutions.append(("%test_root", config.test_source_root))

# Tests that compare with a framework say `REQUIRES: torch`.
for module in ("numpy", "torch"):
    if importlib.util.find_spec(module) is not None:
        config.available_features.add(module)
