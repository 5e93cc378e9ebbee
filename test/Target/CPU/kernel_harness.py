"""Compiles kernels of an .mlir text with tenon-opt and LLVM's tools and calls them through ctypes.

Until the whole pipeline exists, this is how numeric tests of kernel generators run. Tools are found in the folders of
TENON_BIN and LLVM_BIN, else on PATH.
"""
import ctypes
import os
import re
import subprocess
import tempfile

import numpy as np

TARGETS = {
    "x86-64-v2": 'name = "x86-64-v2", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v2", features = "", '
                 'vectorBits = 128, vectorRegisters = 16, hasFMA = false, hasF16C = false, l1Bytes = 32768, l2Bytes = 524288',
    "x86-64-v3": 'name = "x86-64-v3", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v3", features = "", '
                 'vectorBits = 256, vectorRegisters = 16, hasFMA = true, hasF16C = true, l1Bytes = 32768, l2Bytes = 524288',
    "x86-64-v4": 'name = "x86-64-v4", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v4", features = "", '
                 'vectorBits = 512, vectorRegisters = 32, hasFMA = true, hasF16C = true, l1Bytes = 32768, l2Bytes = 1048576',
}


def tool(name):
    for folder in (os.environ.get("TENON_BIN"), os.environ.get("LLVM_BIN")):
        if folder and os.path.exists(os.path.join(folder, name)):
            return os.path.join(folder, name)
    return name


class _Size(int):
    """An integer with the operators of affine expressions: / is ceildiv."""
    __add__ = __radd__ = lambda a, b: _Size(int(a) + int(b))
    __mul__ = __rmul__ = lambda a, b: _Size(int(a) * int(b))
    __sub__ = lambda a, b: _Size(int(a) - int(b))
    __floordiv__ = lambda a, b: _Size(int(a) // int(b))
    __truediv__ = lambda a, b: _Size(-(-int(a) // int(b)))
    __mod__ = lambda a, b: _Size(int(a) % int(b))
    __neg__ = lambda a: _Size(-int(a))


def evaluate(expr, symbols):
    expr = expr.replace("ceildiv", "/").replace("floordiv", "//").replace("mod", "%")
    expr = re.sub(r"(?<![\w])(\d+)", r"_Size(\1)", expr)
    return int(eval(expr, {"_Size": _Size, **{f"s{i}": _Size(v) for i, v in enumerate(symbols)}}))


class Module:
    """The kernels of `text` (kernel.func only), compiled for `march`."""

    def __init__(self, text, march="x86-64-v3", keep=None):
        folder = keep or tempfile.mkdtemp(prefix="tenon-kernels-")
        at = lambda name: os.path.join(folder, name)
        with open(at("in.mlir"), "w") as f:
            f.write("module attributes {target.cpu = #target.cpu<%s>} {\n%s\n}\n" % (TARGETS[march], text))
        self._run(tool("tenon-opt"), at("in.mlir"), "--tenon-cpu-emit-kernels", "-o", at("loops.mlir"))
        lines, self.schedules, inside = [], {}, False
        for line in open(at("loops.mlir")).read().split("\n"):
            if line.startswith("  kernel.func"):
                inside = True
                name = re.search(r"@(\w+)", line).group(1)
                self.schedules[name] = {k: re.search(k + r" = #graph.dims<\[([^\]]*)\]>", line).group(1)
                                        for k in ("tiles", "scratch", "work")}
            if not inside:
                lines.append(line)
            if inside and line == "  }":
                inside = False
        with open(at("bare.mlir"), "w") as f:
            f.write("\n".join(lines))
        self._run(tool("tenon-opt"), at("bare.mlir"), "--tenon-cpu-kernels-to-llvm", "-o", at("llvm.mlir"))
        # mlir-translate does not know the target's attribute.
        text = re.sub(r"module attributes \{target.cpu.*\} \{", "module {", open(at("llvm.mlir")).read())
        with open(at("llvm.mlir"), "w") as f:
            f.write(text)
        self._run(tool("mlir-translate"), "--mlir-to-llvmir", at("llvm.mlir"), "-o", at("kernels.ll"))
        # The same as the compiler's own pipeline: no SLP and no vector combine, which undo register tiles.
        flags = ["-O2", "-fno-slp-vectorize", "-fno-vectorize", "-mllvm", "-disable-vector-combine", "-march=" + march,
                 "-ffp-contract=off", "-fPIC", "-Wno-override-module", "-x", "ir", at("kernels.ll")]
        if keep:
            self._run(tool("clang"), *flags, "-S", "-o", at("kernels.s"))
        self._run(tool("clang"), *flags, "-shared", "-o", at("kernels.so"), "-lm")
        self.library = ctypes.CDLL(at("kernels.so"))

    @staticmethod
    def _run(*command):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(" ".join(command[:3]) + "\n" + done.stderr[:4000])

    def bind(self, name, arrays, symbols=(), symbol_count=None):
        """A function of (tile_begin, tile_end) over these arrays (inputs, then outputs), and the number of tiles."""
        words = (ctypes.c_uint64 * 64)()
        for i, array in enumerate(arrays):
            words[i] = array.ctypes.data
        for i, symbol in enumerate(symbols):
            words[len(arrays) + i] = symbol
        schedule = {k: evaluate(v, symbols) for k, v in self.schedules[name].items()}
        # A guard behind the scratch shows writes beyond it.
        scratch = np.full(schedule["scratch"] + 128, 0xA5, np.uint8)
        pointer = (scratch.ctypes.data + 63) // 64 * 64
        guard = pointer - scratch.ctypes.data + schedule["scratch"]
        function = getattr(self.library, "tn_kernel_" + name)
        function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
        address = ctypes.addressof(words)

        def call(begin=0, end=schedule["tiles"]):
            _ = words  # lives as long as the function
            status = function(None, address, begin, end, pointer)
            assert status == 0
            assert (scratch[guard:guard + 32] == 0xA5).all(), "writes beyond its scratch"

        call.schedule = schedule
        return call

    def call(self, name, arrays, symbols=()):
        self.bind(name, arrays, symbols)()


def pack(array, order, n, groups, width):
    """`array` in the layout #kernel.layout<order, n, groups, width>."""
    moved = np.transpose(array, order)
    if width == 0:
        return np.ascontiguousarray(moved)
    rows = int(np.prod(moved.shape[:n], dtype=np.int64))
    depth = int(np.prod(moved.shape[n:], dtype=np.int64))
    moved = moved.reshape(groups, rows // groups, depth)
    panels = -(-(rows // groups) // width)
    result = np.zeros((groups, panels, depth, width), array.dtype)
    for p in range(panels):
        part = moved[:, p * width:(p + 1) * width]
        result[:, p, :, :part.shape[1]] = part.transpose(0, 2, 1)
    return result
