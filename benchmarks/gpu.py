"""The tests on this machine's NVIDIA GPU, then benchmarks next to PyTorch in the same process; what comes out is a page.

    python benchmarks/gpu.py [--write docs/performance-gpu.md] [--arch sm_90a] [--rounds 20] [--skip-tests] [--tiny]

It wants the driver (`tenon`; the static release build runs where LLVM is not), `libtenon_rt_devices.so` and torch with CUDA;
without that torch only tenon is timed. Both take turns, and medians are compared. A product's and an attention's own time is what one more
of them in a chain adds, so that transfers and starts drop out; whole models are timed from the CPU's tensors to the CPU's tensors.
`--tiny` is for trying the script itself, on the emulator of test/emulators for one.
"""

import argparse
import math
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

TREE = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TREE / "python"), str(TREE / "benchmarks")]

import torch
from torch import nn
from torch.nn import functional as F

import models
import tenon
from tenon import locate


class Products(nn.Module):
    """`count` products of [n, n] matrices, one after the other."""

    def __init__(self, n, count, dtype):
        super().__init__()
        self.weight = nn.Parameter((torch.randn(n, n) / math.sqrt(n)).to(dtype), requires_grad=False)
        self.count = count

    def forward(self, x):
        for _ in range(self.count):
            x = F.linear(x, self.weight)
        return x


class Attentions(nn.Module):
    def __init__(self, count):
        super().__init__()
        self.count = count

    def forward(self, q, k, v):
        for _ in range(self.count):
            q = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return q


class Ours:
    def __init__(self, module, args, arch, folder, name):
        model, self.path = folder / f"{name}.pt2", folder / f"{name}.tenon"
        with torch.no_grad():
            torch.export.save(torch.export.export(module.eval(), args), model)
        start = time.perf_counter()
        subprocess.run([locate.driver(), "compile", model, "-o", self.path, "--quiet", f"--target=cuda:{arch}"], check=True)
        self.compile_seconds = time.perf_counter() - start
        self.program = tenon.Program(self.path, device="cuda")
        self.session, self.args = self.program.session(), args

    def call(self):
        return self.session(*self.args)


class Torch:
    def __init__(self, module, args, compiled):
        self.module = module.eval().cuda()
        self.args = args
        if compiled:
            self.module = torch.compile(self.module, mode="max-autotune")

    @torch.no_grad()
    def call(self):
        result = self.module(*(a.cuda(non_blocking=True) for a in self.args))
        return result.cpu() if isinstance(result, torch.Tensor) else tuple(r.cpu() for r in result)


def as_floats(result):
    result = result[0] if isinstance(result, (tuple, list)) else result
    return torch.as_tensor(result).float() if not isinstance(result, torch.Tensor) else result.float()


def take_turns(engines, rounds):
    """Median seconds of a call of each."""
    times = {name: [] for name in engines}
    for engine in engines.values():
        for _ in range(3):
            engine.call()
    for _ in range(rounds):
        for name, engine in engines.items():
            start = time.perf_counter()
            engine.call()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


class Page:
    def __init__(self, options):
        self.options, self.lines, self.has_torch = options, [], torch.cuda.is_available()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tenon-gpu-"))

    def say(self, text=""):
        print(text, flush=True)
        self.lines.append(text)

    def engines(self, name, module, args, compiled):
        engines = {"tenon": Ours(module, args, self.options.arch, self.folder, name)}
        if self.has_torch:
            engines["torch"] = Torch(module, args, compiled)
            expected, got = as_floats(engines["torch"].call()), as_floats(engines["tenon"].call())
            error = ((expected - got).abs().max() / expected.abs().max()).item()
            if not error < 2e-2:
                raise AssertionError(f"{name}: differs from PyTorch by {error:.3g} of the largest value")
        return engines

    def chain(self, name, make, args, flops):
        """Seconds of one step, from chains of two lengths."""
        short, long = (2, 3) if self.options.tiny else (2, 22)
        times = [take_turns(self.engines(f"{name}-{count}", make(count), args, False), self.options.rounds)
                 for count in (short, long)]
        step = {engine: (times[1][engine] - times[0][engine]) / (long - short) for engine in times[0]}
        cells = [f"{step['tenon'] * 1e6:.0f}", f"{flops / step['tenon'] / 1e12:.1f}"]
        cells += [f"{step['torch'] * 1e6:.0f}", f"{step['torch'] / step['tenon']:.2f}"] if "torch" in step else ["", ""]
        self.say(f"| {name} | {' | '.join(cells)} |")

    def model(self, name, module, args):
        engines = self.engines(name, module, args, True)
        times = take_turns(engines, self.options.rounds)
        cells = [f"{engines['tenon'].compile_seconds:.1f}", f"{times['tenon'] * 1e3:.2f}"]
        cells += [f"{times['torch'] * 1e3:.2f}", f"{times['torch'] / times['tenon']:.2f}"] if "torch" in times else ["", ""]
        self.say(f"| {name} | {' | '.join(cells)} |")


def gpu_name():
    try:
        done = subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"], capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else None
    except FileNotFoundError:
        return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=pathlib.Path)
    parser.add_argument("--arch", default="sm_80")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--models", default="minilm,gpt2,resnet50")
    parser.add_argument("--skip-tests", action="store_true")
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    name = gpu_name()
    if not name and not options.tiny:
        sys.exit("gpu.py: there is no NVIDIA GPU here (nvidia-smi does not work)")
    page = Page(options)
    page.say("# Performance on an NVIDIA GPU\n")
    page.say(f"By `benchmarks/gpu.py` on {name or 'the emulator: times mean nothing'}; torch {torch.__version__}, code for {options.arch}. "
             "Ratios above 1: tenon is faster.\n")
    if not options.skip_tests:
        done = subprocess.run([sys.executable, TREE / "test" / "e2e" / "run.py", "--match", "test_device"], stdout=subprocess.PIPE, text=True)
        lines = [line for line in done.stdout.splitlines() if line]
        page.say(f"Tests on the GPU (`test/e2e/test_device*.py`): {'; '.join(lines[-2:])}\n")
    n, lengths = (128, (128,)) if options.tiny else (4096, (4096, 8192, 16384))
    page.say("| one step | tenon µs | TFLOP/s | torch µs | torch / tenon |\n|---|---:|---:|---:|---:|")
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        short = str(dtype).removeprefix("torch.")
        page.chain(f"product {n}^3 {short}", lambda count: Products(n, count, dtype), (torch.randn(n, n).to(dtype),), 2 * n**3)
    for length in lengths:
        q, k, v = (torch.randn(1, 16, length, 128).half() for _ in range(3))
        page.chain(f"causal attention 16 x {length} x 128", Attentions, (q, k, v), 2 * 16 * length**2 * 128)
    if not options.tiny:
        page.say("\n| model, batch 1 | compile s | tenon ms | torch.compile ms | torch / tenon |\n|---|---:|---:|---:|---:|")
        for each in options.models.split(","):
            case = models.get(each)
            page.model(each, case.module, case.args)
    if options.write:
        options.write.write_text("\n".join(page.lines) + "\n")


if __name__ == "__main__":
    main()
