"""What is written for devices that are not here: PTX that ptxas takes for every architecture, code objects of AMD that
disassemble and describe themselves as the runtime launches them."""

import re
import shutil
import subprocess
import unittest

import torch
from torch import nn
from torch.nn import functional as F

from harness import command, compile, export, new_path, output_of
from test_devices import Attention, Halves, Images, Mlp, Types

CUDA = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_90a", "sm_100a", "sm_103a", "sm_120a")
ROCM = ("gfx90a", "gfx942", "gfx950", "gfx1030", "gfx1100", "gfx1151", "gfx1201")


def find_tool(name):
    return shutil.which(f"{name}-22") or shutil.which(f"/usr/lib/llvm-22/bin/{name}") or shutil.which(name)


class Everything(nn.Module):
    """A kernel of each class."""

    def __init__(self):
        super().__init__()
        self.mlp, self.images, self.halves = Mlp(), Images(), Halves().half()

    def forward(self, x, image, q, k, v, mask, h, y, p):
        i = torch.arange(6)
        return (self.mlp(x), self.images(image), Attention()(q, k, v, mask), self.halves(h, y, p),
                Types()(x[:3, :9], y[0], i, torch.tensor([True, False, True, True, False, True])), x.cumsum(0), x.argmax(1))


def model():
    q, k, v = torch.randn(2, 4, 70, 24), torch.randn(2, 2, 70, 24), torch.randn(2, 2, 70, 72)
    half = torch.float16
    return export(Everything(), (torch.randn(5, 40), torch.randn(2, 3, 19, 21), q, k, v, torch.rand(70, 70) > 0.3,
                                 torch.randn(70, 96).to(half), torch.randn(2, 45, 40).to(half), torch.randn(1, 16, 9, 10).to(half)))


def emit(source, target, kind):
    path = new_path(f".{kind}")
    status, text = command("compile", source, "-o", path, "--quiet", f"--target={target}", f"--emit={kind}")
    if status:
        raise AssertionError(text)
    return path


class Code(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = model()

    def test_ptx(self):
        text = emit(self.model, "cuda:sm_80", "ptx").read_text()
        self.assertEqual(text.count(".version"), 1)
        kernels = re.findall(r"\.visible \.entry (\w+)", text)
        self.assertGreater(len(kernels), 20)
        self.assertEqual(len(kernels), len(set(kernels)))
        self.assertNotIn(".extern", text)
        self.assertIn("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", text)
        self.assertIn("cp.async.cg.shared.global", text)
        self.assertNotRegex(text, r"\n\s+(add|mul|sub)\.f32")  # without a rounding ptxas may contract

    @unittest.skipUnless(find_tool("ptxas"), "no ptxas")
    def test_ptxas(self):
        for arch in (*CUDA, "sm_80+tf32", "sm_90a+tf32"):
            path = emit(self.model, f"cuda:{arch}", "ptx")
            done = subprocess.run([find_tool("ptxas"), "-v", f"-arch={arch.removesuffix('+tf32')}", path, "-o", new_path(".cubin")],
                                  capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, f"{arch}: {done.stderr}")
            text = done.stdout + done.stderr
            registers = [int(n) for n in re.findall(r"Used (\d+) registers", text)]
            spilled = [int(n) for n in re.findall(r"(\d+) bytes spill stores", text)]
            shared = [int(n) for n in re.findall(r"(\d+) bytes smem", text)]
            self.assertGreater(len(registers), 20)
            self.assertLessEqual(max(registers), 255, arch)
            self.assertLessEqual(max(spilled), 16, arch)  # ptxas spills a number or two to have more workgroups at once
            self.assertLessEqual(max(shared), 48 << 10, arch)

    @unittest.skipUnless(find_tool("ptxas"), "no ptxas")
    def test_warpgroups(self):
        """Registers suffice for the sums, and products are not made to wait for each other."""
        model = export(nn.Sequential(nn.Linear(256, 4096), nn.GELU(), nn.Linear(4096, 1024)).half(), (torch.randn(2048, 256).half(),))
        path = emit(model, "cuda:sm_90a", "ptx")
        self.assertIn("wgmma.mma_async.sync.aligned.m64n256k16", path.read_text())
        self.assertIn("wgmma.mma_async.sync.aligned.m64n128k16", path.read_text())
        done = subprocess.run([find_tool("ptxas"), "-v", "-arch=sm_90a", path, "-o", new_path(".cubin")], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("serialized", done.stdout + done.stderr)
        self.assertEqual(set(re.findall(r"(\d+) bytes spill stores", done.stdout + done.stderr)), {"0"})

    @unittest.skipUnless(find_tool("ptxas"), "no ptxas")
    def test_cubin_comes_before_ptx(self):
        path = compile(export(Mlp(), (torch.randn(5, 40),)), "--target=cuda:sm_90a")
        data = path.read_bytes()
        self.assertLess(data.find(b"\x7fELF\x02\x01\x01\x41"), data.find(b".version"))

    @unittest.skipUnless(find_tool("llvm-readelf") and find_tool("llvm-objdump"), "no tools of LLVM")
    def test_code_objects(self):
        for arch in ROCM:
            with self.subTest(arch=arch):
                self.check_code_object(arch)

    def check_code_object(self, arch):
        path = emit(self.model, f"rocm:{arch}", "hsaco")
        head = subprocess.run([find_tool("llvm-readelf"), "-h", path], capture_output=True, text=True).stdout
        self.assertIn("EM_AMDGPU", head)
        self.assertRegex(head, rf"Flags:.*{arch}\b")
        undefined = subprocess.run([find_tool("llvm-nm"), "--undefined-only", path], capture_output=True, text=True).stdout
        self.assertEqual(undefined.strip(), "")
        code = subprocess.run([find_tool("llvm-objdump"), "-d", path], capture_output=True, text=True).stdout
        self.assertGreater(code.count("s_endpgm"), 20)
        self.assertNotIn("<unknown>", code)
        unit = {"gfx90a": "v_mfma_f32_16x16x16f16", "gfx942": "v_mfma_f32_16x16x16_f16", "gfx950": "v_mfma_f32_16x16x16_f16",
                "gfx1030": "v_fma"}.get(arch, "v_wmma_f32_16x16x16_f16")
        self.assertIn(unit, code)
        # What the metadata says of the parameters is what the runtime passes: { groups, report, slots }.
        notes = subprocess.run([find_tool("llvm-readelf"), "--notes", path], capture_output=True, text=True).stdout
        kernels = re.split(r"\n  - \.a(?:rgs|gpr)", notes)[1:]
        self.assertGreater(len(kernels), 20)
        for text in kernels:
            name = re.search(r"\.name:\s+(tn_kernel_\w+)", text)[1]
            number = lambda key: int(re.search(rf"\.{key}:\s+(\d+)", text)[1])
            arguments = re.findall(r"\.offset:\s+(\d+)\n\s+\.size:\s+(\d+)\n\s+\.value_kind:\s+(\w+)", text)
            given = [(int(offset), int(size)) for offset, size, kind in arguments if not kind.startswith("hidden")]
            self.assertEqual(given[:2], [(0, 8), (8, 8)], name)
            self.assertEqual(given[2][0], 16, name)
            self.assertEqual(given[2][1] % 8, 0, name)
            self.assertEqual(len(given), 3, name)
            self.assertEqual(number("wavefront_size"), 64 if arch.startswith("gfx9") else 32)
            self.assertLessEqual(number("group_segment_fixed_size"), 64 << 10)
            self.assertEqual(number("vgpr_spill_count"), 0, name)
            self.assertEqual(number("private_segment_fixed_size"), 0, name)

    def test_all_targets_in_one_file(self):
        source = export(Mlp(), (torch.randn(5, 40),))
        path = compile(source, "--target=cpu", "--target=cuda:sm_80,sm_90a,sm_100a", "--target=rocm:gfx90a,gfx942,gfx1100",
                       "--target=vulkan")
        text = output_of("inspect", path)
        self.assertEqual(len(re.findall(r"^variant '", text, re.M)), 8)
        self.assertEqual(text.count(" constants "), 1)
        self.assertEqual(text.count(" device "), 7)

    def test_wrong_names(self):
        source = export(nn.ReLU(), (torch.ones(3),))
        for target, text in (("cuda:sm_70", "sm_75, sm_80"), ("cuda:sm_75+tf32", "does not compute in TF32"), ("rocm:gfx803", "gfx90a"), ("cuda", "sm_80"), ("metal", "cuda:ARCH")):
            status, said = command("compile", source, "-o", new_path(".tenon"), f"--target={target}")
            self.assertEqual(status, 1, said)
            self.assertIn(text, said)
        status, said = command("compile", source, "-o", new_path(".ptx"), "--target=vulkan", "--emit=ptx")
        self.assertEqual(status, 1)
        self.assertIn("only a target for cuda", said)


if __name__ == "__main__":
    unittest.main()
