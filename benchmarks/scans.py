"""Running sums next to PyTorch's.

    python benchmarks/scans.py [--shapes 1x1048576,64x16384,8192x128] [--threads 1,2] [--rounds 8] [--seconds 0.2]

The two take turns in short blocks in one process, so that a noisy machine disturbs both alike; the ratio is of best
times, torch's over tenon's; both write where they wrote before. `copy` is a torch copy of the tensor: what reading and writing it once costs.
"""

import argparse
import pathlib
import statistics
import tempfile

from flex import compile_tenon, take_turns

import torch


class Sum(torch.nn.Module):
    def forward(self, x):
        return x.cumsum(1)


def measure(shape, options, threads, folder):
    torch.set_num_threads(threads)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    other = torch.empty_like(x)
    with torch.no_grad(), compile_tenon(Sum(), (x,), folder) as program, program.session(threads=threads) as session:
        want, got = x.double().cumsum(1), torch.from_numpy(session(x)[0].copy())
        calls = {"tenon": session.prepare(x), "torch": lambda: torch.cumsum(x, 1, out=other), "copy": lambda: other.copy_(x)}
        times = take_turns(calls, options)
    error = ((got - want).abs().max() / want.abs().max()).item()
    return {engine: (min(t), statistics.median(t)) for engine, t in times.items()}, error


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default="1x1048576,64x16384,8192x128")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=0.2, help="length of a block")
    options = parser.parse_args()
    print("| shape | threads | tenon | torch.cumsum | torch / tenon | copy | error |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        for shape in options.shapes.split(","):
            for threads in (int(t) for t in options.threads.split(",")):
                times, error = measure([int(n) for n in shape.split("x")], options, threads, pathlib.Path(name))
                (own, own_median), (other, other_median) = times["tenon"], times["torch"]
                print(f"| {shape} | {threads} | {own:.3f} ({own_median:.3f}) | {other:.3f} ({other_median:.3f}) | "
                      f"{other / own:.2f} | {times['copy'][0]:.3f} | {error:.1e} |", flush=True)


if __name__ == "__main__":
    main()
