"""The command line: exit statuses, messages, files written whole or not at all."""

import json
import os
import pathlib
import struct
import unittest

import numpy as np

from harness import assert_close, command, compile, eager, export, locate, new_path, output_of, torch

import torch.nn as nn


class TwoOutputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 16)

    def forward(self, x, flag):
        y = self.linear(x).relu()
        return y, (y > 0.1) & flag


class Unsupported(nn.Module):
    def forward(self, x):
        return torch.linalg.eigvals(x).real, torch.special.airy_ai(x)


class Driver(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        torch.manual_seed(0)
        cls.module = TwoOutputs().eval()
        cls.args = (torch.randn(3, 8), torch.rand(3, 16) > 0.5)
        batch = torch.export.Dim("batch", min=1, max=64)
        cls.model = export(cls.module, cls.args, ({0: batch}, {0: batch}))
        cls.artifact = compile(cls.model)
        cls.folder = cls.artifact.parent
        for name, value in zip(("x", "flag"), cls.args):
            np.save(cls.folder / f"{name}.npy", value.numpy())

    def fails(self, *arguments, status=1, text=()):
        got, error = command(*arguments)
        self.assertEqual(got, status, error)
        self.assertIn("tenon: error: ", error)
        for part in (text,) if isinstance(text, str) else text:
            self.assertIn(part, error)
        self.assertNotIn("Stack dump", error)
        return error

    def inputs(self, x="x.npy", flag="flag.npy"):
        return [f"--input=@{self.folder / x}", f"--input=@{self.folder / flag}"]

    def test_run_writes_outputs(self):
        y, mask = new_path(".npy"), new_path(".npy")
        output_of("run", self.artifact, *self.inputs(), f"--output=@{y}", f"--output=@{mask}")
        assert_close([np.load(y), np.load(mask)], eager(self.module, self.args))

    def test_named_inputs_in_any_order(self):
        y = new_path(".npy")
        output_of("run", self.artifact, f"--input=flag=@{self.folder / 'flag.npy'}",
                  f"--input=x=@{self.folder / 'x.npy'}", f"--output=@{y}")
        assert_close([np.load(y)], eager(self.module, self.args)[:1])

    def test_summary_without_output(self):
        text = output_of("run", self.artifact, *self.inputs())
        self.assertIn("f32 [3, 16]", text)

    def test_threads_give_the_same_bits(self):
        results = []
        for threads in (1, 2, 4):
            y = new_path(".npy")
            output_of("run", self.artifact, *self.inputs(), f"--output=@{y}", f"--threads={threads}")
            results.append(y.read_bytes())
        self.assertEqual(len(set(results)), 1)

    def test_compiling_twice_gives_the_same_bytes(self):
        self.assertEqual(compile(self.model).read_bytes(), self.artifact.read_bytes())

    def test_inspect(self):
        info = json.loads(output_of("inspect", self.artifact, "--json"))
        self.assertEqual([x["dtype"] for x in info["entries"][0]["inputs"]], ["f32", "bool"])
        self.assertEqual(info["entries"][0]["symbols"][0]["max"], 64)
        text = output_of("inspect", self.artifact)
        self.assertIn(f"[{info['entries'][0]['symbols'][0]['name']}, 8]", text)
        self.assertIn("kernel of 'main'", text)
        self.assertTrue(info["variants"][0]["kernels"])
        for kernel in info["variants"][0]["kernels"]:
            self.assertGreater(kernel["code_bytes"], 0)

    def test_bench(self):
        result = json.loads(output_of("bench", self.artifact, *self.inputs(), "--threads=2", "--json", "--calls=20"))
        self.assertEqual((result["calls"], result["threads"]), (20, 2))
        self.assertLessEqual(result["min_ms"], result["median_ms"])

    def test_bench_invents_inputs(self):
        symbol = json.loads(output_of("inspect", self.artifact, "--json"))["entries"][0]["symbols"][0]["name"]
        result = json.loads(output_of("bench", self.artifact, "--json", "--calls=3", f"--symbol={symbol}=5"))
        self.assertEqual(result["inputs"]["x"], [5, 8])

    def test_every_variant_runs(self):
        path = compile(self.model, "--target=cpu:portable")
        info = json.loads(output_of("inspect", path, "--json"))
        self.assertEqual([v["name"] for v in info["variants"]], ["x86-64-v2", "x86-64-v3", "x86-64-v4"])
        for variant in info["variants"]:
            if variant["runs_here"]:
                y = new_path(".npy")
                output_of("run", path, *self.inputs(), f"--output=@{y}", f"--variant={variant['name']}")
                assert_close([np.load(y)], eager(self.module, self.args)[:1])

    def test_emit(self):
        for kind in ("obj", "so", "llvm", "asm", "mlir"):
            path = compile(self.model, f"--emit={kind}")
            self.assertGreater(path.stat().st_size, 100)
        for phase in ("import", "simplify", "form", "plan"):
            self.assertIn("func", compile(self.model, f"--stop-after={phase}").read_text())

    def test_unsupported_lists_everything(self):
        path = export(Unsupported(), (torch.randn(3, 3),))
        out = new_path(".tenon")
        text = self.fails("compile", path, "-o", out, status=3)
        self.assertIn("eig", text)
        self.assertIn("airy_ai", text)
        self.assertFalse(out.exists())
        self.fails("check", path, status=3)

    def test_bad_options(self):
        out = new_path(".tenon")
        self.fails("compile", self.model, "-o", out, "--target=cpu:pentium", text="pentium")
        self.fails("compile", self.model, "-o", out, "--target=tpu", text="tpu")
        self.fails("compile", self.model, "-o", out, "--emit=exe", text="exe")
        self.fails("compile", self.model, "-o", out, "--stop-after=lunch", text="simplify")
        self.fails("compile", self.model, "-o", self.folder / "nowhere" / "x.tenon", text="nowhere")
        self.fails("compile", self.folder / "absent.pt2", "-o", out, text="absent.pt2")
        self.fails("compile", self.folder / "x.npy", "-o", out, text="x.npy")
        self.fails("frobnicate")
        self.assertFalse(out.exists())

    def test_bad_inputs(self):
        wrong = {"wide": np.zeros((3, 9), np.float32), "double": np.zeros((3, 8)), "rank": np.zeros(8, np.float32),
                 "empty": np.zeros((0, 8), np.float32), "huge": np.zeros((65, 8), np.float32),
                 "other": np.zeros((4, 8), np.float32), "ints": np.zeros((3, 8), np.int32)}
        for name, value in wrong.items():
            np.save(self.folder / f"{name}.npy", value)
            y = new_path(".npy")
            text = self.fails("run", self.artifact, *self.inputs(x=f"{name}.npy"), f"--output=@{y}", text="main")
            self.assertFalse(y.exists(), text)
        (self.folder / "cut.npy").write_bytes((self.folder / "x.npy").read_bytes()[:-5])
        (self.folder / "junk.npy").write_bytes(b"not an array at all" * 9)
        for name in ("cut.npy", "junk.npy", "absent.npy"):
            self.fails("run", self.artifact, *self.inputs(x=name), text=name)
        self.fails("run", self.artifact, self.inputs()[0], text="flag")
        self.fails("run", self.artifact, *self.inputs(), self.inputs()[0], text="main")
        self.fails("run", self.artifact, *self.inputs(), *["--output=@" + str(self.folder / f"o{i}.npy") for i in range(3)])
        self.fails("run", self.artifact, *self.inputs(), "--entry=other", text="main")
        self.fails("run", self.artifact, *self.inputs(), "--variant=other", text="other")
        self.fails("run", self.artifact, *self.inputs(), f"--output=@{self.folder / 'no' / 'y.npy'}", text="no")

    def test_damaged_artifacts(self):
        good = self.artifact.read_bytes()
        bad = self.folder / "bad.tenon"
        header = int.from_bytes(good[24:32], "little")
        generator = np.random.default_rng(0)
        segments = json.loads(output_of("inspect", self.artifact, "--json"))["segments"]
        for length in (0, 1, 7, 63, 64, 100, len(good) // 2, len(good) - 1):
            bad.write_bytes(good[:length])
            self.fails("run", bad, *self.inputs(), text="bad.tenon")
            self.fails("inspect", bad, text="bad.tenon")
        places = [*generator.integers(0, 64 + header, 30)]
        places += [int(generator.integers(s["offset"], s["offset"] + s["bytes"])) for s in segments for _ in range(10)]
        for place in places:
            changed = bytearray(good)
            changed[place] ^= 1 << int(generator.integers(8))
            bad.write_bytes(changed)
            self.fails("run", bad, *self.inputs(), text="bad.tenon")
        bad.write_bytes(good + b"more")
        self.fails("run", bad, *self.inputs(), text="bad.tenon")

    def test_damaged_models(self):
        good = pathlib.Path(self.model).read_bytes()
        bad, out = self.folder / "bad.pt2", new_path(".tenon")
        generator = np.random.default_rng(1)
        for length in (0, 1, 4, 30, len(good) // 3, len(good) - 30, len(good) - 1):
            bad.write_bytes(good[:length])
            self.fails("compile", bad, "-o", out, text="bad.pt2")
        for _ in range(40):  # any status but a crash: some bytes do not matter
            changed = bytearray(good)
            for place in generator.integers(0, len(good), 4):
                changed[place] = int(generator.integers(256))
            bad.write_bytes(changed)
            status, text = command("compile", bad, "-o", out)
            self.assertIn(status, (0, 1, 3), text)
            self.assertEqual(out.exists(), status == 0, text)
            if out.exists():
                os.remove(out)


class RuntimeLibrary(unittest.TestCase):
    def test_size(self):
        """Code and data of the runtime for CPUs, as `size` counts them, are at most 64 KiB."""
        path = pathlib.Path(locate.runtime_library()).with_name("libtenon_rt.so")
        if not path.exists():
            self.skipTest("no shared runtime for CPUs beside the one in use")
        elf = path.read_bytes()
        table, = struct.unpack_from("<Q", elf, 40)
        entry, count = struct.unpack_from("<HH", elf, 58)
        sections = [struct.unpack_from("<IIQQQQ", elf, table + entry * i) for i in range(count)]
        if any(kind == 1 and b"asan" in elf[at:at + size] for _, kind, _, _, at, size in sections):
            self.skipTest("built with sanitizers")
        loaded = sum(size for _, kind, flags, _, _, size in sections if flags & 2 and kind != 8)  # SHF_ALLOC, not SHT_NOBITS
        self.assertGreater(loaded, 1 << 14)
        self.assertLessEqual(loaded, 1 << 16)


if __name__ == "__main__":
    unittest.main()
