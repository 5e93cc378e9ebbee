"""Compiles kernels of the CPU target into a shared library and calls them; for the numeric tests beside this file.

TENON_OPT names tenon-opt (default: the one in the dev build or on PATH), TENON_LLVM_BIN the folder of mlir-translate and
clang (default: PATH). Only for tests: the compiler proper writes object code itself.
"""
import ctypes
import os
import re
import shutil
import subprocess
import sys
import tempfile

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
TARGETS = {
    "x86-64-v2": (128, 16, False),
    "x86-64-v3": (256, 16, True),
    "x86-64-v4": (512, 32, True),
}


def tool(name):
    folder = os.environ.get("TENON_LLVM_BIN")
    if folder:
        return os.path.join(folder, name)
    path = shutil.which(name + "-22") or shutil.which(name)
    if not path:
        sys.exit(f"{name} is not on PATH; set TENON_LLVM_BIN")
    return path


def tenon_opt():
    return os.environ.get("TENON_OPT") or shutil.which("tenon-opt") or os.path.join(ROOT, "build", "dev", "bin", "tenon-opt")


def run(command, text):
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr[:4000]}")
    return done.stdout


def target_attr(level):
    bits, registers, fma = TARGETS[level]
    return (f'#target.cpu<name = "{level}", triple = "x86_64-unknown-linux-gnu", cpu = "{level}", features = "", '
            f'vectorBits = {bits}, vectorRegisters = {registers}, hasFMA = {str(fma).lower()}, '
            f'hasF16C = {str(fma).lower()}, l1Bytes = 32768, l2Bytes = 524288>')


class Library:
    """Kernels compiled from the text of `kernel.func`s."""

    def __init__(self, kernels, level="x86-64-v3", keep=None):
        module = f"module attributes {{target.cpu = {target_attr(level)}}} {{\n{kernels}\n}}\n"
        text = run([tenon_opt(), "--tenon-cpu-emit-kernels"], module)
        self.schedules, loops, skip = {}, [], False
        for line in text.split("\n"):
            if line.startswith("  kernel.func"):
                skip = True
                name = re.search(r"@([\w$.]+)", line)[1]
                self.schedules[name] = {k: v for k, v in re.findall(r"(tiles|scratch|work) = #graph.dims<\[(.*?)\]>", line)}
            if not skip:
                loops.append(line)
            if skip and line == "  }":
                skip = False
        body = run([tenon_opt(), "--tenon-cpu-kernels-to-llvm"], "\n".join(loops))
        body = re.sub(r"module attributes \{target.cpu.*\} \{", "module {", body)
        body = run([tool("mlir-translate"), "--mlir-to-llvmir"], body)
        self.folder = tempfile.TemporaryDirectory()
        source, out = os.path.join(self.folder.name, "k.ll"), os.path.join(self.folder.name, "k.so")
        with open(source, "w") as file:
            file.write(body)
        command = [tool("clang"), "-O2", "-fno-slp-vectorize", "-fno-vectorize", "-mllvm", "-disable-vector-combine",
                   "-march=" + level, "-ffp-contract=off", "-fPIC", "-Wno-override-module", "-x", "ir", source]
        subprocess.check_call(command + ["-shared", "-o", out, "-lm"])
        if keep:
            subprocess.check_call(command + ["-S", "-o", keep + ".s"])
            shutil.copy(source, keep + ".ll")
        self.library = ctypes.CDLL(out)

    def evaluate(self, name, what, symbols):
        text = self.schedules[name][what]
        text = text.replace("ceildiv", "|").replace("floordiv", "//").replace("mod", "%")

        class Size(int):
            pass

        # a ceildiv b binds as tightly as *: write it as a floor division of the negated dividend.
        class V:
            def __init__(self, v): self.v = v
            def __add__(self, o): return V(self.v + val(o))
            __radd__ = __add__
            def __mul__(self, o): return V(self.v * val(o))
            __rmul__ = __mul__
            def __floordiv__(self, o): return V(self.v // val(o))
            def __mod__(self, o): return V(self.v % val(o))
            def __matmul__(self, o): return V(-(-self.v // val(o)))
            def __neg__(self): return V(-self.v)
            def __sub__(self, o): return V(self.v - val(o))
        val = lambda o: o.v if isinstance(o, V) else o
        text = re.sub(r"(?<![\w])(\d+)", r"V(\1)", text.replace("|", "@"))
        names = {f"s{i}": V(s) for i, s in enumerate(symbols)}
        return val(eval(text, {"V": V, **names}))

    def prepare(self, name, inputs, outputs, symbols=(), frame=None, extra=()):
        """A function of no arguments that runs the kernel, returning its status."""
        words = (ctypes.c_uint64 * 64)()
        for i, x in enumerate([*inputs, *outputs]):
            assert x.flags["C_CONTIGUOUS"]
            words[i] = x.ctypes.data
        for i, s in enumerate([*symbols, *extra]):
            words[len(inputs) + len(outputs) + i] = s
        scratch_bytes = self.evaluate(name, "scratch", symbols)
        scratch = np.full(scratch_bytes + 128, 0xff, np.uint8)  # NaN, should anything be read before it is written
        pointer = (scratch.ctypes.data + 63) // 64 * 64
        guard = pointer - scratch.ctypes.data + scratch_bytes
        tiles = self.evaluate(name, "tiles", symbols)
        function = getattr(self.library, "tn_kernel_" + name)
        function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
        address = ctypes.addressof(words)
        keep = (words, scratch, inputs, outputs)

        def call():
            status = function(frame, address, 0, tiles, pointer)
            assert (keep[1][guard:] == 0xff).all(), "wrote past its scratch"
            return status
        call.raw = lambda keep=keep: function(frame, address, 0, tiles, pointer)  # for timing
        return call

    def call(self, name, inputs, outputs, symbols=(), **options):
        return self.prepare(name, inputs, outputs, symbols, **options)()
