"""PyTorch's own operator samples (OpInfo) through tenon: export, decompose, compile, run, compare with eager.

    python test/opinfo/run.py [--ops REGEX] [--dtypes float32,int64,bool] [--samples N] [--as-exported] [--jobs N] [--out FILE] [--corpus DIR]
    python test/opinfo/run.py --report FILE

A sample counts when its decomposed graph holds core ATen operators only and eager gives the same result twice. Of random
numbers, and of memory that nobody wrote (empty), shapes and types are compared. Of float16 and bfloat16 a result may also
agree with eager's of the same inputs in float32: where eager computes every step in half precision, its result is the less
exact one. Statuses:
pass, fail (wrong numbers, shape or type), unsupported (exit status 3), error (any other failure), crash (a signal), timeout.
Every op that is not 'pass' is listed with its first message.
"""

import argparse
import collections
import json
import multiprocessing
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import warnings

TREE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE / "python"))
SECONDS = 60
# By element type of the result: relative to the largest value of the output, as accumulation errors are.
TOLERANCE = {"float32": 1e-4, "float64": 1e-7, "float16": 5e-3, "bfloat16": 2e-2}


class Skip(Exception):
    pass


def bits(tensor):
    """A numpy array as the driver reads it: bfloat16 as its bits."""
    import torch
    tensor = tensor.detach().contiguous()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.uint16).numpy()
    return tensor.numpy()


def module_of(op, sample, stable=False):
    """A module whose inputs are the tensors of the sample, and those tensors. `stable`: sorts keep the order of equals."""
    import torch
    from torch.utils import _pytree as pytree
    args, kwargs = tuple(sample.args), dict(sample.kwargs)
    if stable:
        args, kwargs = (), {**dict(zip(("dim", "descending"), args)), **kwargs, "stable": True}
    leaves, spec = pytree.tree_flatten((sample.input, args, kwargs))
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]

    class Sample(torch.nn.Module):
        def forward(self, *tensors):
            values = list(leaves)
            for place, tensor in zip(places, tensors):
                values[place] = tensor
            first, args, kwargs = pytree.tree_unflatten(values, spec)
            result = op(first, *args, **kwargs)
            return tuple(x for x in pytree.tree_leaves(result) if isinstance(x, torch.Tensor))

    return Sample(), tuple(leaves[i].detach().clone() for i in places)


def is_core(program):
    import torch
    for module in program.graph_module.modules():
        if not isinstance(module, torch.fx.GraphModule):
            continue
        for node in module.graph.nodes:
            if node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload):
                if torch.Tag.core not in node.target.tags:
                    return False
            elif node.op == "call_function" and isinstance(node.target, torch._ops.HigherOrderOperator):
                return False
    return True


def is_random(program):
    import torch
    return any(torch.Tag.nondeterministic_seeded in node.target.tags
               for module in program.graph_module.modules() if isinstance(module, torch.fx.GraphModule)
               for node in module.graph.nodes if isinstance(node.target, torch._ops.OpOverload))


def same(got, want, name, only_types):
    """None, or what differs."""
    import numpy as np
    import torch
    if tuple(got.shape) != tuple(want.shape):
        return f"{name}: shape {tuple(got.shape)} instead of {tuple(want.shape)}"
    kind = str(want.dtype).split(".")[1]
    if want.dtype == torch.bfloat16:
        if got.dtype != np.uint16:
            return f"{name}: type {got.dtype} instead of bfloat16"
        got = torch.from_numpy(got).view(torch.bfloat16).float().numpy()
        want = want.float()
    elif got.dtype != want.numpy().dtype:
        return f"{name}: type {got.dtype} instead of {want.dtype}"
    if only_types:
        return None
    want = want.numpy()
    if kind not in TOLERANCE and "complex" not in kind:
        return None if np.array_equal(got, want) else f"{name}: {int((got != want).sum())} of {want.size} numbers differ"
    if "complex" in kind:
        got, want, kind = got.reshape(-1).view(got.real.dtype), want.reshape(-1).view(want.real.dtype), "float32"
    if not np.array_equal(np.isnan(got), np.isnan(want)):
        return f"{name}: NaN in other places"
    infinite = np.isinf(want)
    if not np.array_equal(infinite, np.isinf(got)) or not np.array_equal(got[infinite], want[infinite]):
        return f"{name}: infinities in other places"
    finite = np.isfinite(want)
    if not finite.any():
        return None
    got, want = got[finite].astype(np.float64), want[finite].astype(np.float64)
    error, limit = np.abs(got - want).max(), TOLERANCE[kind] * max(1e-3, np.abs(want).max())
    return None if error <= limit else f"{name}: largest error {error:.2e}, limit {limit:.2e}"


def prepare(op, sample, folder, as_exported):
    """Exports the sample into `folder`: model.pt2, in*.npy and want.pt. Raises Skip when it does not count."""
    import numpy as np
    import torch
    module, tensors = module_of(op, sample)
    try:
        with torch.no_grad():
            want, again = (module(*(t.clone() for t in tensors)) for _ in range(2))
    except Exception as error:
        raise Skip(f"eager fails: {error}")
    if not want:
        raise Skip("no tensor comes out")
    try:
        program = torch.export.export(module, tuple(t.clone() for t in tensors), strict=False)
        if not as_exported:
            program = program.run_decompositions()
    except Exception as error:
        raise Skip(f"does not export: {error}")
    if not as_exported and not is_core(program):
        raise Skip("not core")
    # Random numbers and memory that nobody wrote: shape and type are all there is to compare.
    only_types = is_random(program) or re.match("(new_)?empty", op.name)
    if not only_types and not all(a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)
                                  for a, b in zip(want, again)):
        raise Skip("results are not reproducible")
    torch.export.save(program, folder / "model.pt2")
    for i, tensor in enumerate(tensors):
        np.save(folder / f"in{i}.npy", bits(tensor))
    # Without `stable` the order of equals is unspecified; tenon's sort is stable.
    if op.name in ("sort", "argsort") and not sample.kwargs.get("stable"):
        with torch.no_grad():
            want = module_of(op, sample, stable=True)[0](*(t.clone() for t in tensors))
    keep = lambda results: [t.detach().contiguous().clone() for t in results]
    torch.save((len(tensors), bool(only_types), keep(want), keep(other_answer(op, sample, module, tensors, want))),
               folder / "want.pt")


def other_answer(op, sample, module, tensors, want):
    """Another result that is as right; `want` itself where there is none. Of topk: the first ones of equals. Of half
    precision: results of the same inputs in float32, rounded to the types of `want`."""
    import torch
    if op.name == "topk":
        named = {"dim": -1, "largest": True, **dict(zip(("k", "dim", "largest", "sorted"), sample.args)), **sample.kwargs}
        order = tensors[0].sort(dim=named["dim"], descending=named["largest"], stable=True)
        return [t.narrow(named["dim"], 0, named["k"]) if t.dim() else t for t in order]
    half = (torch.float16, torch.bfloat16)
    if not any(t.dtype in half for t in tensors):
        return want
    try:
        with torch.no_grad():
            wide = module(*(t.float() if t.dtype in half else t.clone() for t in tensors))
        return [a.to(b.dtype) if a.shape == b.shape else b for a, b in zip(wide, want, strict=True)]
    except Exception:
        return want


def judge(folder):
    """Compiles and runs what `prepare` left in `folder`. -> (status, message)"""
    import numpy as np
    import torch
    from tenon import locate
    path = folder / "model.pt2"
    inputs, only_types, want, wide = torch.load(folder / "want.pt")

    def command(*arguments):
        try:
            done = subprocess.run(arguments, capture_output=True, text=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return "timeout", f"{arguments[1]}: more than {SECONDS} s"
        if done.returncode < 0:
            return "crash", f"{arguments[1]}: {signal.Signals(-done.returncode).name}"
        if done.returncode:
            status = "unsupported" if done.returncode == 3 and arguments[1] == "compile" else "error"
            return status, f"{arguments[1]}: " + done.stderr.strip()[:2000]
        return None, None

    with tempfile.TemporaryDirectory() as scratch:
        artifact = f"{scratch}/model.tenon"
        status, message = command(locate.driver(), "compile", str(path), "-o", artifact)
        if status:
            return status, message
        arguments = [f"--input=@{folder}/in{i}.npy" for i in range(inputs)]
        arguments += [f"--output=@{scratch}/out{i}.npy" for i in range(len(want))]
        status, message = command(locate.driver(), "run", artifact, *arguments)
        if status:
            return status, message
        for i, tensors in enumerate(zip(want, wide)):
            got = np.load(f"{scratch}/out{i}.npy")
            wrong = [same(got, tensor, f"output {i}", only_types) for tensor in tensors]
            if all(wrong):
                return "fail", wrong[0]
    return "pass", ""


def check(op, sample, folder, only_export, as_exported):
    """-> (status, message). What an earlier run left in `folder` is used again."""
    skipped = folder / "skipped"
    if skipped.exists():
        return "skip", skipped.read_text()
    if not (folder / "want.pt").exists():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            prepare(op, sample, folder, as_exported)
        except Skip as skip:
            skipped.write_text(str(skip)[:200])
            return "skip", str(skip)[:200]
    return ("skip", "exported") if only_export else judge(folder)


def samples_of(op, dtype, limit):
    """Evenly spread over what the operator offers: the first ones alone are the plain cases."""
    import torch
    torch.manual_seed(0)
    every = list(op.sample_inputs("cpu", getattr(torch, dtype), requires_grad=False))
    if len(every) <= limit:
        return list(enumerate(every))
    return [(i, every[i]) for i in sorted({round(k * (len(every) - 1) / (limit - 1)) for k in range(limit)})] \
        if limit > 1 else [(0, every[0])]


def work(task):
    index, dtype, limit, corpus, only_export, as_exported = task
    import torch
    from torch.testing._internal.common_methods_invocations import op_db
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    op, rows = op_db[index], []
    name = op.name + ("." + op.variant_test_name if op.variant_test_name else "")
    try:
        samples = samples_of(op, dtype, limit)
    except Exception as error:
        return [dict(op=name, dtype=dtype, sample=-1, status="skip", message=f"no samples: {error}"[:200])]
    with tempfile.TemporaryDirectory() as scratch:
        for number, sample in samples:
            signal.alarm(4 * SECONDS)
            try:
                status, message = check(op, sample, pathlib.Path(corpus or scratch) / f"{name}-{dtype}-{number}",
                                        only_export, as_exported)
            except Exception as error:
                status, message = "error", f"{type(error).__name__}: {error}"[:500]
            signal.alarm(0)
            rows.append(dict(op=name, dtype=dtype, sample=number, status=status, message=message))
    return rows


def on_alarm(*_):
    raise TimeoutError("the sample took too long")


def begin():
    signal.signal(signal.SIGALRM, on_alarm)
    sys.stderr = open(os.devnull, "w")


def report(rows):
    counts = collections.Counter(row["status"] for row in rows)
    counted = sum(n for status, n in counts.items() if status != "skip")
    first = {}
    for row in rows:
        if row["status"] not in ("pass", "skip"):
            first.setdefault((row["status"], row["op"], row["dtype"]), []).append(row)
    for (status, op, dtype), bad in sorted(first.items()):
        lines = [l for l in bad[0]["message"].splitlines() if l.strip()] or [""]
        print(f"{status:12} {op} {dtype} x{len(bad)} (sample {bad[0]['sample']}): {lines[0][:230]}")
    for dtype in sorted({row["dtype"] for row in rows}):
        of = collections.Counter(row["status"] for row in rows if row["dtype"] == dtype)
        n = sum(of.values()) - of["skip"]
        print(f"{dtype}: {of['pass']} of {n} pass ({100 * of['pass'] / max(1, n):.2f} %)", dict(of))
    print(f"all: {counts['pass']} of {counted} pass ({100 * counts['pass'] / max(1, counted):.2f} %)", dict(counts))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ops", default="", help="only operators whose name matches")
    parser.add_argument("--dtypes", default="float32,int64,bool")
    parser.add_argument("--samples", type=int, default=4, help="at most so many of each operator and type")
    parser.add_argument("--corpus", help="keep exported samples in this folder, and take those that are there")
    parser.add_argument("--export", action="store_true", help="only fill --corpus")
    parser.add_argument("--as-exported", action="store_true", help="do not decompose: every operator that export keeps counts")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--out", help="one JSON object a line")
    parser.add_argument("--report", help="print the summary of such a file, run nothing")
    options = parser.parse_args()
    if options.report:
        return report([json.loads(line) for line in open(options.report)])
    import torch
    from torch.testing._internal.common_methods_invocations import op_db
    tasks = [(i, dtype, options.samples, options.corpus, options.export, options.as_exported)
             for i, op in enumerate(op_db) for dtype in options.dtypes.split(",")
             if re.search(options.ops, op.name) and getattr(torch, dtype) in op.supported_dtypes("cpu")]
    rows, out = [], open(options.out, "w") if options.out else None
    with multiprocessing.get_context("fork").Pool(options.jobs, begin, maxtasksperchild=50) as pool:
        for result in pool.imap_unordered(work, tasks):
            rows += result
            for row in result:
                if out:
                    print(json.dumps(row), file=out, flush=True)
    report(rows)


if __name__ == "__main__":
    main()
