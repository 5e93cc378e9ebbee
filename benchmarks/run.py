"""Every benchmark model: error against eager, compile time, size, and latency in turns with eager and other engines.

    python benchmarks/run.py [MODEL...] [--peers eager aoti ort] [--threads 1 2] [--write docs/performance.md]

AOTInductor needs a C++ compiler, ONNX Runtime the packages onnx, onnxscript and onnxruntime; a peer that is not there
is left out.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "python")]

import numpy as np
import torch

import models
import tenon
from tenon import locate


def leaves(result):
    return [x for x in torch.utils._pytree.tree_leaves(result) if isinstance(x, torch.Tensor)]


def compile_model(pt2, artifact):
    start = time.perf_counter()
    done = subprocess.run([locate.driver(), "compile", str(pt2), "-o", str(artifact), "--quiet"], capture_output=True,
                          text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[0] if done.stderr.strip() else f"status {done.returncode}")
    return time.perf_counter() - start


def error_of(got, want, scaled):
    """Largest |difference| over 1e-4 |value| + 1e-5, or over 1e-4 of the output's scale: above 1 is too much."""
    worst = 0.0
    for g, w in zip(got, want):
        g, w = np.asarray(g, np.float64), w.numpy().astype(np.float64)
        limit = 1e-4 * np.abs(w).max() + 1e-5 if scaled else 1e-4 * np.abs(w) + 1e-5
        worst = max(worst, float((np.abs(g - w) / limit).max()))
    return worst


class Eager:
    def __init__(self, case, folder, threads):
        self.case, self.threads = case, threads

    def __call__(self):
        torch.set_num_threads(self.threads)
        with torch.no_grad():
            return self.case.module(*self.case.args)


class Aoti:
    def __init__(self, case, folder, threads):
        path = folder / f"aoti{threads}.pt2"
        torch.set_num_threads(threads)
        with torch.no_grad():
            torch._inductor.aoti_compile_and_package(case.export(), package_path=str(path))
        self.model, self.args, self.threads = torch._inductor.aoti_load_package(str(path)), case.args, threads

    def __call__(self):
        torch.set_num_threads(self.threads)
        return self.model(*self.args)


class Ort:
    def __init__(self, case, folder, threads):
        import onnxruntime

        path = folder / "model.onnx"
        if not path.exists():
            with torch.no_grad():
                torch.onnx.export(case.module, case.args, str(path), dynamo=True, verbose=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 4
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.feeds = {i.name: a.numpy() for i, a in zip(self.session.get_inputs(), case.args)}

    def __call__(self):
        return self.session.run(None, self.feeds)


PEERS = {"eager": Eager, "aoti": Aoti, "ort": Ort}


def interleaved(functions, seconds):
    """Milliseconds of each, called in turns so that noise of the machine meets all of them alike."""
    for f in functions.values():
        f()
        f()
    times = {name: [] for name in functions}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or min(map(len, times.values())) < 5:
        for name, f in functions.items():
            start = time.perf_counter()
            f()
            times[name].append((time.perf_counter() - start) * 1e3)
    return times


def measure(name, peers, threads, seconds, folder):
    case = models.get(name)
    folder = pathlib.Path(folder)
    program = case.export()
    torch.export.save(program, folder / "model.pt2")
    row = {"model": name, "compile_s": compile_model(folder / "model.pt2", folder / "model.tenon"),
           "pt2_mb": (folder / "model.pt2").stat().st_size / 1e6,
           "tenon_mb": (folder / "model.tenon").stat().st_size / 1e6}
    del program
    artifact = tenon.Program(folder / "model.tenon")
    with torch.no_grad():
        want = [x.clone() for x in leaves(case.module(*case.args))]
    results = []
    for count in (1, 2, 4):
        with artifact.session(threads=count) as session:
            results.append([x.copy() for x in session(*case.args)])
    row["error"] = error_of(results[0], want, case.scaled)
    row["same_bits"] = all(a.tobytes() == b.tobytes() for other in results[1:] for a, b in zip(results[0], other))
    for count in threads:
        with artifact.session(threads=count) as session:
            functions = {"tenon": session.prepare(*case.args)}
            for peer in peers:
                try:
                    functions[peer] = PEERS[peer](case, folder, count)
                    functions[peer]()
                except Exception as error:  # whatever an engine raises: it is left out, with its reason
                    functions.pop(peer, None)
                    row[f"{peer}_reason"] = f"{type(error).__name__}: {error}".splitlines()[0][:120]
            for engine, times in interleaved(functions, seconds).items():
                row[f"{engine}_{count}"] = {"min": min(times), "median": statistics.median(times), "calls": len(times)}
    artifact.close()
    return row


def machine():
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")),
               platform.processor())
    return f"{cpu}, {len(os.sched_getaffinity(0))} processors"


def table(rows, peers, threads):
    head = ["model", "error / limit", "same bits at 1, 2, 4 threads", "compile, s", "file, MB"]
    for count in threads:
        head.append(f"tenon, {count}t, ms: min (median)")
        head += [f"{peer} / tenon, {count}t" for peer in peers]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        if "failure" in row:
            lines.append(f"| {row['model']} | {row['failure']} |" + " |" * (len(head) - 2))
            continue
        cells = [row["model"], f"{row['error']:.3f}", "yes" if row["same_bits"] else "**no**", f"{row['compile_s']:.1f}",
                 f"{row['tenon_mb']:.1f}"]
        for count in threads:
            ours = row[f"tenon_{count}"]
            cells.append(f"{ours['min']:.3g} ({ours['median']:.3g})")
            for peer in peers:
                theirs = row.get(f"{peer}_{count}")
                cells.append(f"{theirs['min'] / ours['min']:.2f} ({theirs['median'] / ours['median']:.2f})" if theirs else "-")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=list(models.STATIC))
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--threads", nargs="*", type=int, default=[1, 2])
    parser.add_argument("--seconds", type=float, default=5.0, help="of measuring, for each model and number of threads")
    parser.add_argument("--json", help="file for all figures")
    parser.add_argument("--write", help="file for the report")
    options = parser.parse_args()
    rows = []
    for name in options.models:
        with tempfile.TemporaryDirectory() as folder:
            try:
                rows.append(measure(name, options.peers, options.threads, options.seconds, folder))
            except Exception as error:
                rows.append({"model": name, "failure": f"{type(error).__name__}: {error}".splitlines()[0][:160]})
        print(json.dumps(rows[-1]), flush=True)
    shown = [a for i, a in enumerate(sys.argv[1:]) if a not in ("--write", "--json") and sys.argv[i] not in ("--write", "--json")]
    text = f"""# Performance

Made by `python benchmarks/run.py {' '.join(shown)}`{' ' if shown else ''}on {machine()}, torch {torch.__version__}.
Latencies are taken in turns in one process; a ratio above 1 means that tenon is faster, by the fastest call, and by
the median in parentheses. An error of 1 is 1e-4 relative and 1e-5 absolute (CNNs: of the output's scale).

{table(rows, options.peers, options.threads)}
"""
    for row in rows:
        for peer in options.peers:
            if f"{peer}_reason" in row:
                text += f"\n- {row['model']}, {peer}: {row[f'{peer}_reason']}"
    print(text)
    if options.write:
        pathlib.Path(options.write).write_text(text.rstrip() + "\n")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(rows, indent=1) + "\n")
    bad = [r["model"] for r in rows if "failure" in r or r["error"] > 1 or not r["same_bits"]]
    sys.exit(f"wrong or failed: {', '.join(bad)}" if bad else 0)


if __name__ == "__main__":
    main()
