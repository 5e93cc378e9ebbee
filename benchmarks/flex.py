"""FlexAttention on the CPU next to `torch.compile(flex_attention)`, and what memory it takes as sequences grow.

    python benchmarks/flex.py [--length 2048] [--heads 8] [--depth 64] [--threads 1,2] [--rounds 8] [--write FILE]

The two take turns in short blocks in one process, so that a noisy machine disturbs both alike; the ratio is of best
times, torch's over tenon's. Both get the same tensors, and the largest difference of their results is shown.
"""

import argparse
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

TREE = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TREE / "python")]

import torch
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

import tenon
from tenon import locate

WINDOW, DOCUMENTS = 256, 8


def causal(b, h, i, j):
    return i >= j


def window(b, h, i, j):
    return (i >= j) & (i - j < WINDOW)


class Attention(torch.nn.Module):
    """Block masks as users make them: outside of the call where the mask depends on no input."""

    def __init__(self, mask, length):
        super().__init__()
        self.blocks = create_block_mask(mask, None, None, length, length, device="cpu")

    def forward(self, q, k, v):
        return flex_attention(q, k, v, block_mask=self.blocks)


class Documents(torch.nn.Module):
    """Packed documents; which one a position belongs to is data of the model."""

    def __init__(self, length):
        super().__init__()
        ends = torch.linspace(0, length, DOCUMENTS + 1)[1:].round()
        self.register_buffer("ids", torch.searchsorted(ends, torch.arange(length), right=True))
        ids = self.ids
        self.mask = lambda b, h, i, j: (ids[i] == ids[j]) & (i >= j)
        self.blocks = create_block_mask(self.mask, None, None, length, length, device="cpu")

    def forward(self, q, k, v):
        return flex_attention(q, k, v, block_mask=self.blocks)


CASES = {"causal": lambda n: Attention(causal, n), "sliding window": lambda n: Attention(window, n), "documents": Documents}


def compile_tenon(module, args, folder):
    with torch.no_grad():
        program = torch.export.export(module.eval(), args)
    model, artifact = folder / "model.pt2", folder / "model.tenon"
    tenon.save(program, model)
    subprocess.run([str(locate.driver()), "compile", "--quiet", str(model), "-o", str(artifact)], check=True)
    return tenon.Program(artifact)


def inputs(options, length):
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(1, options.heads, length, options.depth, generator=generator) for _ in range(3))


def block(call, seconds):
    times, end = [], time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return times


def take_turns(calls, options):
    """Milliseconds of every call of each, in blocks of `options.seconds` by turns, `options.rounds` times."""
    times = {engine: [] for engine in calls}
    for _ in range(options.rounds):
        for engine, call in calls.items():
            time.sleep(0.02)  # until threads that spin have gone to sleep
            times[engine] += block(call, options.seconds)
    return times


def measure(name, options, threads, folder):
    torch._dynamo.reset()
    torch.set_num_threads(threads)
    args = inputs(options, options.length)
    module = CASES[name](options.length).eval()
    with torch.no_grad(), compile_tenon(module, args, folder) as program, program.session(threads=threads) as session:
        compiled = torch.compile(module)
        want, got = compiled(*args), torch.from_numpy(session(*args)[0].copy())
        calls = {"tenon": lambda: session(*args), "torch": lambda: compiled(*args)}
        times = take_turns(calls, options)
    error = ((got - want).abs().max() / want.abs().max()).item()
    return {engine: (min(t), statistics.median(t)) for engine, t in times.items()}, error


def memory(options, folder):
    """Bytes of a call at growing lengths: of the arena, and of the one worker's scratch."""
    rows = []
    for length in (1024, 2048, 4096, 8192):
        module = CASES["causal"](length)
        with compile_tenon(module, inputs(options, length), folder) as program, program.session(threads=1) as session:
            session(*inputs(options, length))  # a session holds nothing before its first call
            needs = session.memory()
            rows.append((length, needs["arena_bytes"], needs["scratch_bytes"]))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--depth", type=int, default=64)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=0.3, help="length of a block")
    parser.add_argument("--write", type=pathlib.Path, help="write the tables, in Markdown, to this file")
    options = parser.parse_args()
    lines = [f"`{options.heads}` heads, depth `{options.depth}`, length `{options.length}`, float32. Best (median), ms.", "",
             "| mask | threads | tenon | torch.compile | torch.compile / tenon | largest difference |", "|---|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for threads in (int(t) for t in options.threads.split(",")):
            for case in CASES:
                times, error = measure(case, options, threads, folder)
                (own, own_median), (other, other_median) = times["tenon"], times["torch"]
                lines.append(f"| {case} | {threads} | {own:.2f} ({own_median:.2f}) | {other:.2f} ({other_median:.2f}) | "
                             f"{other / own:.2f} | {error:.1e} |")
                print(lines[-1], flush=True)
        lines += ["", "Memory of a call of causal attention, one thread:", "", "| length | arena, bytes | scratch, bytes |", "|---|---|---|"]
        for length, arena, scratch in memory(options, folder):
            lines.append(f"| {length} | {arena} | {scratch} |")
            print(lines[-1], flush=True)
    if options.write:
        options.write.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
