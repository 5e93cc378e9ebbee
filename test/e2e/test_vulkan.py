"""What is Vulkan's own: features that a device lacks, failures, memory, kept pipelines, cooperative matrices. The device is
lavapipe where there is no GPU; what it does not lack, or does not have, the emulator of test/emulators/vulkan takes away or adds."""

import os
import pathlib
import subprocess
import sys
import unittest

import numpy as np
import torch
from torch import nn

import tenon
from tenon import locate
from harness import assert_close, bits, compile, eager, export, new_path, output_of, run
import test_devices

EMULATOR = pathlib.Path(locate.driver()).parent.parent / "test" / "emulators" / "vulkan"

SCRIPT = """
import sys, numpy, tenon
inputs = numpy.load(sys.argv[2])
inputs = [inputs[f"arr_{i}"] for i in range(len(inputs))]
for device in sys.argv[3].split(","):
    try:
        program = tenon.Program(sys.argv[1], device=device or None, cache=sys.argv[4] if len(sys.argv) > 4 else None)
        session = program.session()
        results = session(*inputs)
        print("ran", program.variant)
        if sys.argv[3].count(",") == 0:
            numpy.savez(sys.argv[2] + ".out.npz", *results)
        session.close()
        program.close()
    except tenon.Error as error:
        print("said", error)
"""


def process(path, inputs, device="vulkan", emulated=True, cache=None, **orders):
    """Runs a file in a process of its own: what it wrote, and the results of its last device."""
    saved = str(new_path(".npz"))
    np.savez(saved, *[bits(x) for x in inputs])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    if emulated:
        environment["LD_LIBRARY_PATH"] = os.pathsep.join([str(EMULATOR), environment.get("LD_LIBRARY_PATH", "")])
    environment.update({name if name.startswith("VK_") else "TN_EMULATED_VULKAN_" + name: str(value) for name, value in orders.items()})
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(path), saved, device, *([str(cache)] if cache else [])],
                          env=environment, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise AssertionError(f"status {done.returncode}: {done.stderr[-2000:]}")
    results = np.load(saved + ".out.npz") if os.path.exists(saved + ".out.npz") else ()
    return done.stdout + done.stderr, [results[f"arr_{i}"] for i in range(len(results))]


def report(path):
    return {name: int(value) for name, value in (line.split() for line in pathlib.Path(path).read_text().splitlines())}


class Bytes(nn.Module):
    def forward(self, x):
        return x + 1


class Mixed(nn.Module):
    """Asks for bytes, 16 bits, half floats, f64 and shuffles."""

    def forward(self, x, h, i, b):
        return x.double().exp().float() + x.sum(1, keepdim=True), h * 2, i // 3, ~b


MIXED = torch.randn(3, 64), torch.randn(4).half(), torch.arange(5, dtype=torch.int16), torch.tensor([True, False])


@unittest.skipUnless(test_devices.is_here("vulkan"), "no Vulkan device")
class Types(unittest.TestCase):
    """Every type of tensor, stored and computed with."""

    def test_all(self):
        class All(nn.Module):
            def forward(self, a, b):
                if a.dtype == torch.bool:
                    return a ^ b, a & b, a.any(1), a.sum(0), torch.where(a, 2, 3)
                if a.is_floating_point():
                    return a * b + a, (a - b).abs().sqrt(), a.sum(1), a.amax(0), a @ b.T, a.float(), a < b
                return a * b + a, a // b, a % b, a.sum(1), a.amax(0), a.float() / 2, a < b, a.to(torch.int32) << 2

        for dtype in (torch.bool, torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.float16, torch.bfloat16,
                      torch.float32, torch.float64):
            with self.subTest(dtype=dtype):
                if dtype == torch.bool:
                    a, b = torch.rand(5, 40) > 0.5, torch.rand(5, 40) > 0.5
                elif dtype.is_floating_point:
                    a, b = torch.randn(5, 40).to(dtype), torch.randn(5, 40).to(dtype)
                else:
                    a = torch.randint(0 if dtype == torch.uint8 else -9, 10, (5, 40)).to(dtype)
                    b = torch.randint(1, 10, (5, 40)).to(dtype)
                path = compile(export(All(), (a, b)), "--target=vulkan")
                assert_close(run(path, (a, b), device="vulkan"), eager(All(), (a, b)), scaled=True)

    def test_quantized(self):
        """Products of bytes with i32 sums, as quantized models have them."""
        class Quantized(nn.Module):
            def forward(self, x, w):
                q = (x / 0.05).round().clamp(-128, 127).to(torch.int8)
                y = q.to(torch.int32) @ w.to(torch.int32)
                return q, y, y.float() * 0.01

        args = torch.randn(20, 64), torch.randint(-128, 128, (64, 24), dtype=torch.int8)
        path = compile(export(Quantized(), args), "--target=vulkan")
        assert_close(run(path, args, device="vulkan"), eager(Quantized(), args))


@unittest.skipUnless(test_devices.is_here("vulkan"), "no Vulkan device")
class Memory(unittest.TestCase):
    def test_buffers_beyond_the_limit_of_descriptors(self):
        """maxStorageBufferRange is 128 MiB on lavapipe; addresses know no such limit."""
        x = torch.zeros(36 << 20)
        x[-5:] = torch.arange(5.0)
        path = compile(export(Bytes(), (x,), {"x": {0: torch.export.Dim("n", max=1 << 31)}}), "--target=vulkan")
        y, = run(path, (x,), device="vulkan")
        self.assertEqual(y.shape, (36 << 20,))
        np.testing.assert_array_equal(y[-5:], np.arange(5.0) + 1)
        self.assertEqual(float(y[:-5].min()), 1)
        self.assertEqual(float(y[:-5].max()), 1)

    def test_memory_that_is_not_there(self):
        class Wide(nn.Module):
            def forward(self, x):
                return torch.cat([x + i for i in range(3)]).cumsum(0).sum()
        x = torch.zeros(1 << 10, 1 << 10)
        path = compile(export(Wide(), (x,), {"x": {0: torch.export.Dim("n", max=1 << 20)}}), "--target=vulkan")
        program = tenon.Program(path, device="vulkan")
        session = program.session()
        with self.assertRaisesRegex(tenon.Error, r"has no \d{10,} bytes of memory.*(limit is \d+ \(maxMemoryAllocationSize\)|VK_ERROR_OUT_OF_\w+ \(its largest heap has \d+\)).* it is for "):
            session(np.zeros((1 << 19, 1 << 10), np.float32))
        # The session goes on with what fits.
        y, = session(np.ones((4, 1 << 10), np.float32))
        self.assertEqual(y.shape, ())
        session.close()
        program.close()

    def test_no_driver(self):
        path = compile(export(Bytes(), (torch.ones(3),)), "--target=vulkan", "--target=cpu")
        said, _ = process(path, (torch.ones(3),), device="vulkan,,cpu", emulated=False, VK_ICD_FILENAMES="/nowhere.json",
                          VK_DRIVER_FILES="/nowhere.json")
        self.assertRegex(said, r"said .*lacks (a driver of Vulkan \(vkCreateInstance: VK_ERROR_INCOMPATIBLE_DRIVER|devices of Vulkan|a device of Vulkan 1.2.*there are 0)")
        self.assertEqual(said.count("ran x86-64"), 2, said)


@unittest.skipUnless(test_devices.is_here("vulkan") and EMULATOR.exists(), "no Vulkan device, or no emulator")
class Emulated(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.mixed = compile(export(Mixed(), MIXED), "--target=vulkan", "--target=cpu")

    def test_only_what_is_needed_is_asked_for(self):
        """The emulator refuses modules with capabilities whose features were not enabled, and features that are hidden."""
        said, results = process(self.mixed, MIXED)
        self.assertIn("ran vulkan", said)
        assert_close(results, eager(Mixed(), MIXED))
        # A model of f32 alone opens where all the rest is missing.
        path = compile(export(Bytes(), (torch.ones(3),)), "--target=vulkan")
        said, _ = process(path, (torch.ones(3),), HIDE="shaderFloat64,shaderInt16,shaderFloat16,shaderInt8,storageBuffer16BitAccess,"
                          "storageBuffer8BitAccess,vulkanMemoryModel,shuffles")
        self.assertIn("ran vulkan", said)

    def test_what_is_missing_is_named(self):
        for hidden, named in (("shaderFloat64", "shaderFloat64"), ("shaderInt16", "shaderInt16"), ("storageBuffer8BitAccess", "storageBuffer8BitAccess"),
                              ("shuffles", "subgroup shuffles"), ("shaderFloat16,storageBuffer16BitAccess", "shaderFloat16, storageBuffer16BitAccess"),
                              ("shaderInt64", r"a device of Vulkan 1.2 with shaderInt64 and bufferDeviceAddress \(there are 1 without\)")):
            with self.subTest(hidden=hidden):
                said, _ = process(self.mixed, MIXED, device="vulkan,", HIDE=hidden)
                self.assertRegex(said, rf"said .*'vulkan' lacks {named}")
                self.assertIn("ran x86-64", said) # without a device named the next in the file is taken
        said, _ = process(self.mixed, MIXED, device="vulkan,", SHARED="64")
        self.assertRegex(said, r"said .*'vulkan' lacks \d+ bytes of shared memory \(it has 64\) on Vulkan device '")
        self.assertIn("ran x86-64", said)

    def test_failures_of_a_device(self):
        for orders, expected in (({"LOSE": 1}, r"Vulkan cannot run kernels: VK_ERROR_DEVICE_LOST \(-4\)"),
                                 ({"MEMORY": 100}, r"has no \d+ bytes of memory: VK_ERROR_OUT_OF_DEVICE_MEMORY \(its largest heap has \d+\); it is for")):
            said, _ = process(self.mixed, MIXED, device="vulkan,cpu", **orders)
            self.assertRegex(said, "said .*" + expected)
            self.assertIn("ran x86-64", said) # the process goes on

    def test_one_instance_and_constants_once(self):
        class Constant(nn.Module):
            def __init__(self):
                super().__init__()
                self.linear = nn.Linear(300, 300)

            def forward(self, x):
                return self.linear(x)

        args = (torch.randn(2, 300),)
        path, counts = compile(export(Constant(), args), "--target=vulkan"), new_path(".report")
        process(path, args, device="vulkan,vulkan,vulkan", REPORT=counts)
        self.assertEqual(report(counts)["instances"], 1)
        script = ("import sys, numpy, tenon\n"
                  "p = tenon.Program(sys.argv[1], device='vulkan')\n"
                  "s = [p.session() for _ in range(4)]\n"
                  "x = [t(numpy.ones((2, 300), numpy.float32))[0] for t in s]\n"
                  "assert all((x[0] == y).all() for y in x)\n"
                  "[t.close() for t in s]; p.close()\n")
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "LD_LIBRARY_PATH": str(EMULATOR),
                       "TN_EMULATED_VULKAN_REPORT": str(counts), "TENON_TEST_DEVICE_MEMORY": "1"}
        subprocess.run([sys.executable, "-c", script, path], env=environment, check=True, capture_output=True)
        seen = report(counts)
        # Four sessions: constants came over once, inputs and results (2400 bytes each, rounded up) four times.
        self.assertGreaterEqual(seen["copied"], 300 * 300 * 4)
        self.assertLess(seen["copied"], 2 * 300 * 300 * 4)
        self.assertEqual(seen["pipelines"], seen["modules"]) # shared by sessions, too

    def test_kept_pipelines(self):
        path, folder, counts = compile(export(Bytes(), (torch.ones(3),)), "--target=vulkan"), new_path(".cache"), new_path(".report")

        def warm():
            said, results = process(path, (torch.ones(3),), cache=folder, REPORT=counts)
            assert_close(results, [torch.full((3,), 2.0)])
            return report(counts)["warmCaches"]

        self.assertEqual(warm(), 0)
        kept, = folder.iterdir()
        self.assertRegex(kept.name, r"^vulkan-[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{32}\.cache$")
        self.assertEqual(warm(), 1)
        # What is damaged is not given to the driver, and mended.
        data = bytearray(kept.read_bytes())
        data[12] ^= 1
        kept.write_bytes(data)
        self.assertEqual(warm(), 0)
        self.assertEqual(warm(), 1)
        kept.write_bytes(kept.read_bytes()[:20])
        self.assertEqual(warm(), 0)
        # A folder that cannot be: as if there were none.
        (folder / "file").write_text("")
        said, _ = process(path, (torch.ones(3),), cache=folder / "file" / "inside")
        self.assertIn("ran vulkan", said)


@unittest.skipUnless(test_devices.is_here("vulkan") and EMULATOR.exists(), "no Vulkan device, or no emulator")
class Matrices(unittest.TestCase):
    """Kernels with cooperative matrices, which lavapipe lacks: the emulator writes them as loops."""

    def check(self, module, args, dynamic_shapes=None, others=()):
        module = module.eval()
        model = export(module, args, dynamic_shapes)
        path, counts = compile(model, "--target=vulkan:coopmat"), new_path(".report")
        if "cmeel" in (test_devices.validator() or ""):
            test_devices.validate(self, model, "vulkan:coopmat", "vulkan1.3")
        for values in (args, *others):
            said, results = process(path, values, MATRICES=1, REPORT=counts)
            self.assertIn("ran vulkan:coopmat", said)
            self.assertGreater(report(counts)["matrixModules"], 0)
            assert_close(results, eager(module, values), scaled=True)

    def test_products_of_halves(self):
        args = torch.randn(70, 96).half(), torch.randn(2, 45, 40).half(), torch.randn(1, 16, 9, 10).half()
        self.check(test_devices.Halves().half(), args)
        rows = {"input": {0: torch.export.Dim("n", max=5000)}}
        self.check(nn.Linear(64, 80).half(), (torch.randn(70, 64).half(),), rows, [(torch.randn(1, 64).half(),)])

    def test_attention_of_halves(self):
        q, k, v = (torch.randn(2, h, n, 48).half() for h, n in ((4, 77), (2, 77), (2, 77)))
        wide, mask = torch.randn(2, 4, 77, 80).half(), torch.rand(77, 77) > 0.3
        mask[5] = False
        self.check(test_devices.HalfAttention(), (q, k, v, wide, mask))

    def test_the_most_demanding_first(self):
        module, args = nn.Linear(64, 64).half().eval(), (torch.randn(32, 64).half(),)
        path = compile(export(module, args), "--target=cpu", "--target=vulkan", "--target=vulkan:coopmat")
        text = output_of("inspect", path)
        self.assertLess(text.index("variant 'vulkan:coopmat'"), text.index("variant 'vulkan'"))
        for orders, name in (({"MATRICES": 1}, "vulkan:coopmat"), ({}, "vulkan"), ({"MATRICES": 1, "HIDE": "vulkanMemoryModel"}, "vulkan"),
                             ({"MATRICES": 1, "SHARED": 16384}, "vulkan")):
            said, results = process(path, args, **orders)
            self.assertIn(f"ran {name}\n", said)
            assert_close(results, eager(module, args), scaled=True)
        alone = compile(export(module, args), "--target=vulkan:coopmat", "--target=cpu")
        said, _ = process(alone, args, device="vulkan,")
        self.assertRegex(said, r"said .*'vulkan:coopmat' lacks cooperative matrices .*VK_KHR_cooperative_matrix.* on Vulkan device '")
        self.assertIn("ran x86-64", said)


if __name__ == "__main__":
    unittest.main()
