"""Accuracy, compile time and latency of the benchmark models, next to PyTorch eager in the same process.

    python benchmarks/run.py [MODEL...] [--threads 1,2] [--seconds 3] [--write docs/performance.md]

Calls of the two alternate, so that a noisy machine disturbs both alike; the ratio is eager's best time over tenon's.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

TREE = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TREE / "python"), str(TREE / "benchmarks")]

import numpy as np
import torch

import models
import tenon
from tenon import locate


def flat(value):
    if isinstance(value, torch.Tensor):
        return [value]
    values = value.values() if isinstance(value, dict) else value
    return [leaf for item in values for leaf in flat(item)]


def largest_error(ours, reference):
    worst = 0.0
    for a, b in zip(ours, reference):
        a, b = np.asarray(a, np.float64), b.detach().double().numpy()
        assert a.shape == b.shape, (a.shape, b.shape)
        worst = max(worst, float(np.abs(a - b).max() / max(1e-9, np.abs(b).max())) if b.size else 0.0)
    return worst


def interleaved(first, second, seconds):
    times = ([], [])
    first(), second()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < 3:
        for call, into in ((first, times[0]), (second, times[1])):
            start = time.perf_counter()
            call()
            into.append((time.perf_counter() - start) * 1e3)
    return times


def measure(name, threads, seconds, folder):
    case = models.get(name)
    arrays = [x.numpy() for x in flat(case.args)]
    path, artifact = folder / f"{name}.pt2", folder / f"{name}.tenon"
    torch.export.save(case.export(), path)
    start = time.perf_counter()
    done = subprocess.run([locate.driver(), "compile", str(path), "-o", str(artifact)], capture_output=True, text=True)
    compile_s = time.perf_counter() - start
    if done.returncode:
        return name, "fails: " + done.stderr.strip().splitlines()[0]
    with torch.no_grad():
        reference = flat(case.module(*case.args))
    row = []
    with tenon.Program(str(artifact)) as program:
        for count in threads:
            torch.set_num_threads(count)
            with program.session(threads=count) as session:
                call = session.prepare(*arrays)
                call()
                error = largest_error(call.results(), reference)
                if case.stateful:
                    session.reset()

                def eager():
                    with torch.no_grad():
                        case.module(*case.args)

                ours, theirs = interleaved(call, eager, seconds)
                row.append((min(ours), float(np.median(ours)), min(theirs), float(np.median(theirs))))
    size = artifact.stat().st_size / 1e6
    path.unlink()
    artifact.unlink()
    return name, (error, compile_s, size, row)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=list(models.STATIC))
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--write", help="also put the table into this file")
    options = parser.parse_args()
    threads = [int(x) for x in options.threads.split(",")]
    head = ["model", "largest error", "compile s", "file MB"]
    for count in threads:
        head += [f"tenon ms, {count} thread{'s' * (count > 1)}: min (median)", "eager ms: min (median)", "eager / tenon"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.models or models.STATIC:
            name, result = measure(name, threads, options.seconds, pathlib.Path(temporary))
            if isinstance(result, str):
                cells = [name, result]
            else:
                error, compile_s, size, row = result
                cells = [name, f"{error:.1e}", f"{compile_s:.1f}", f"{size:.1f}"]
                for a, b, c, d in row:
                    cells += [f"{a:.2f} ({b:.2f})", f"{c:.2f} ({d:.2f})", f"{c / a:.2f}"]
            lines.append("| " + " | ".join(cells) + " |")
            print(lines[-1], flush=True)
    if options.write:
        cpu = next((l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "unknown")
        flags = "AVX-512" if "avx512f" in open("/proc/cpuinfo").read() else "AVX2"
        text = "\n".join(lines)
        pathlib.Path(options.write).write_text(
            "# Performance\n\nMade by `python benchmarks/run.py --write docs/performance.md` "
            f"on {os.cpu_count()} processors of {cpu} ({flags}), torch {torch.__version__}. Error: largest absolute "
            f"difference to PyTorch eager over the largest value of that output. Load while it ran: "
            f"{os.getloadavg()[0]:.1f}.\n\n{text}\n")


if __name__ == "__main__":
    main()
