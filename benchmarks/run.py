"""Latency, accuracy, compile time and time to the first result of the benchmark models, next to other engines.

    python benchmarks/run.py [MODEL...] [--peers eager,aoti,ort] [--threads 1,2] [--rounds 6] [--seconds 0.4]
    python benchmarks/run.py --write docs/performance.md        # puts what was measured last into the page

Every engine has a process of its own, pinned to as many processors as it has threads. They take turns in blocks of
`--seconds`, over and over, so that a noisy machine disturbs all alike; ratios are of best times, a peer's over tenon's.
Artifacts and results are kept under --cache; tenon's are made anew, and measured, each time.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import peers

TREE = pathlib.Path(__file__).resolve().parents[1]
MODELS = ("minilm", "bert_base", "resnet50", "mobilenetv3", "vit_s16", "gpt2", "llama", "lstm")


def first_result(files, cache, repeats=10):
    """Best seconds from the start of a C program to its exit after one call; the file is in the page cache."""
    from tenon import locate

    program = cache / "first"
    library = pathlib.Path(locate.runtime_library())
    subprocess.run([os.environ.get("CC", "cc"), "-O2", str(TREE / "benchmarks" / "first.c"), "-I",
                    str(TREE / "runtime" / "include"), str(library), f"-Wl,-rpath,{library.parent}", "-o", str(program)],
                   check=True)
    arguments = []
    for i, array in enumerate(files.arrays("in")):
        path = files.folder / f"in{i}.bin"
        array.tofile(path)
        arguments.append(str(path))
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run([str(program), str(files.tenon), *arguments], check=True)
        best = min(best, time.perf_counter() - start)
    return best


def measure(model, threads, engines, options):
    files = peers.Files(options.cache, model)
    failures = peers.prepare(files, model, engines, threads)
    result = {"model": model, "compile_s": peers.compile_tenon(files), "file_mb": files.tenon.stat().st_size / 1e6,
              "threads": {}}
    for count in threads:
        workers, row, first = {}, {}, {}
        for engine in ("tenon", *engines):
            if engine in failures:
                row[engine] = {"fails": failures[engine]}
                continue
            start = time.perf_counter()
            worker = peers.start_process("work", engine, files, model, count)
            error = peers.answer(worker)
            first[engine] = time.perf_counter() - start
            if error is None:
                row[engine] = {"fails": (worker.stderr.read().strip().splitlines() or ["ends without a word"])[-1][:200]}
                worker.wait()
                continue
            workers[engine], row[engine] = worker, {"error": error, "times": []}
        for _ in range(options.rounds):
            for engine, worker in workers.items():
                time.sleep(0.02)  # until threads that spin have gone to sleep
                row[engine]["times"] += peers.ask(worker, options.seconds)
        for worker in workers.values():
            worker.stdin.close()
            worker.wait()
        for engine, cell in row.items():
            if times := cell.pop("times", None):
                cell.update(min=min(times), median=statistics.median(times), calls=len(times), start_s=first[engine])
        result["threads"][str(count)] = row
    result["first_ms"] = first_result(files, options.cache) * 1e3
    result["load"] = os.getloadavg()[0]
    return result


def ratio(row, engine):
    cell = row.get(engine, {})
    return f"{cell['min'] / row['tenon']['min']:.2f}" if "min" in cell and "min" in row["tenon"] else cell.get("fails", "")


def describe(result):
    """Lines for a person who watches."""
    lines = [f"{result['model']}: compiled in {result['compile_s']:.1f} s, first result {result['first_ms']:.0f} ms"]
    for count, row in result["threads"].items():
        for engine, cell in row.items():
            if "min" in cell:
                lines.append(f"  {count} thread{'s' * (count != '1')}  {peers.TITLES[engine]:<14} {cell['min']:9.3f} ms"
                             f"  median {cell['median']:9.3f}  error {cell['error']:.1e}"
                             + (f"  {ratio(row, engine)}x" if engine != "tenon" else ""))
            else:
                lines.append(f"  {count} thread{'s' * (count != '1')}  {peers.TITLES[engine]:<14} {cell['fails']}")
    return "\n".join(lines)


def table(results, engines, threads):
    head = ["model", "largest error", "compile s", "file MB", "first result ms"]
    for count in threads:
        head.append(f"tenon ms, {count} thread{'s' * (count != '1')}: min (median)")
        head += [f"{peers.TITLES[engine]} / tenon" for engine in engines]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for result in results:
        error = max(row["tenon"].get("error", float("nan")) for row in result["threads"].values())
        cells = [result["model"], f"{error:.1e}", f"{result['compile_s']:.1f}", f"{result['file_mb']:.1f}",
                 f"{result['first_ms']:.0f}"]
        for count in threads:
            row = result["threads"].get(count, {})
            own = row.get("tenon", {})
            cells.append(f"{own['min']:.2f} ({own['median']:.2f})" if "min" in own else own.get("fails", ""))
            cells += [ratio(row, engine) for engine in engines]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def peer_table(results, engines, threads):
    head = ["model"] + [f"{peers.TITLES[engine]} ms, {count} thread{'s' * (count != '1')}" for count in threads
                        for engine in engines]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for result in results:
        cells = [result["model"]]
        for count in threads:
            for engine in engines:
                cell = result["threads"].get(count, {}).get(engine, {})
                cells.append(f"{cell['min']:.2f} ({cell['median']:.2f})" if "min" in cell else "")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_page(path, results, engines, threads):
    import torch

    processors = open("/proc/cpuinfo").read()
    cpu = next((line.split(":", 1)[1].strip() for line in processors.splitlines() if line.startswith("model name")), "")
    level = "AVX-512" if "avx512f" in processors else "AVX2"
    load = max(result["load"] for result in results)
    page = pathlib.Path(path)
    # What people wrote below the tables stays.
    notes = page.read_text().partition("\n## Notes\n")[2] if page.exists() else ""
    text = (f"# Performance\n\nMade by `python benchmarks/run.py --peers {','.join(engines)}`, then `--write {path}`, on "
            f"{os.cpu_count()} processors of {cpu} ({level}), torch {torch.__version__}. Load while it ran: at most "
            f"{load:.1f}.\n\nEvery engine has a process of its own; they take turns in short blocks. Ratios are of best "
            "times, a peer's over tenon's: above 1, tenon is faster. Error: largest absolute difference to PyTorch eager "
            "over the largest value of that output. First result: a C program from its start to its end after one call "
            "with one thread, the file in the page cache.\n\n"
            f"{table(results, engines, threads)}\n\nThe peers' own times, best (median):\n\n"
            f"{peer_table(results, engines, threads)}\n")
    if notes:
        text += "\n## Notes\n" + notes
    page.write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--peers", default="eager", help="of eager, aoti, ort (default: eager)")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=0.4, help="length of a block")
    parser.add_argument("--cache", type=pathlib.Path, default=TREE / "build" / "benchmarks")
    parser.add_argument("--write", help="put the results that --cache holds into this page; measures named models first")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    threads = [int(x) for x in options.threads.split(",")]
    engines = tuple(x for x in options.peers.split(",") if x)
    if unknown := [x for x in engines if x not in peers.NAMES[1:]]:
        parser.error(f"unknown peers: {', '.join(unknown)}; there are {', '.join(peers.NAMES[1:])}")
    kept = options.cache / "results.json"
    results = json.loads(kept.read_text()) if kept.exists() else {}
    for model in options.models or ([] if options.write else MODELS):
        results[model] = measure(model, threads, engines, options)
        print(describe(results[model]), flush=True)
        kept.write_text(json.dumps(results, indent=1))
    if options.write:
        chosen = [results[model] for model in MODELS if model in results]
        if not chosen:
            parser.error("nothing has been measured yet")
        rows = [row for result in chosen for row in result["threads"].values()]
        engines = [engine for engine in peers.NAMES[1:] if any(engine in row for row in rows)]
        write_page(options.write, chosen, engines, sorted({count for result in chosen for count in result["threads"]}))


if __name__ == "__main__":
    main()
