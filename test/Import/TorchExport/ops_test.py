"""ops_test.py --tools DIR [--match TEXT] [--forms exported,core] [--keep DIR] [-j N]

Exports the modules of op_cases.py, as they are and decomposed, imports them, runs the reference interpreter and compares with
PyTorch. A case with dynamic sizes also runs on other sizes than it was exported with. Exit status: the number of failures, at
most 100; 77 (skipped) without torch."""
import argparse, copy, os, re, subprocess, sys, tempfile, warnings
from concurrent.futures import ThreadPoolExecutor

try:
    import numpy as np
    import torch
except ImportError:
    sys.exit(77)

import op_cases


class Call(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


def flat(value):
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, (tuple, list)):
        return [t for v in value for t in flat(v)]
    return [torch.tensor(value)]


def as_numpy(tensor):
    tensor = tensor.detach().contiguous()
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def from_numpy(array, dtype):
    """As a tensor; where a file has only the bits of a type (bfloat16, unsigned integers) they are read as `dtype`."""
    bits = {torch.bfloat16: np.int16, torch.uint8: np.uint8}
    if dtype in bits and array.dtype.itemsize == dtype.itemsize and array.dtype.kind in "iu":
        tensor = torch.from_numpy(np.array(array.view(bits[dtype])))
        return tensor.view(dtype) if dtype == torch.bfloat16 else tensor
    return torch.from_numpy(np.array(array))


TOLERANCE = {torch.float64: 1e-9, torch.float32: 3e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2, torch.complex64: 3e-5, torch.complex128: 1e-9}


def difference(got, want):
    """What is wrong, or None."""
    if got.shape != want.shape:
        return f"shape {tuple(got.shape)}, not {tuple(want.shape)}"
    if got.dtype != want.dtype:
        return f"type {got.dtype}, not {want.dtype}"
    if want.dtype not in TOLERANCE:
        return None if torch.equal(got, want) else f"{(got != want).sum()} of {want.numel()} elements"
    wide = torch.complex128 if want.is_complex() else torch.float64
    g, w = got.to(wide), want.to(wide)
    same = (g == w) | (g.isnan() & w.isnan())
    error = torch.where(same, 0.0, (g - w).abs()).nan_to_num(nan=float("inf"))
    finite = w.abs()[w.abs().isfinite()]
    # Relative to the element where elements differ in size, but at least to the typical one.
    scale = torch.maximum(w.abs().nan_to_num(posinf=0, nan=0), torch.tensor(min(1.0, float(finite.max()) if finite.numel() else 1.0)))
    worst = float((error / scale.clamp(min=1e-30)).max()) if error.numel() else 0
    return None if worst <= TOLERANCE[want.dtype] else f"error {worst:.2g} relative to the largest value"


def resize(inputs, dynamic):
    """The inputs with 3 more elements along every dynamic dimension."""
    result = []
    for x, spec in zip(inputs, dynamic):
        for dim in spec or {}:
            x = torch.cat([x, x.narrow(dim, 0, 1).repeat_interleave(2, dim), x.narrow(dim, -1, 1)], dim)
        result.append(x.contiguous())
    return tuple(result)


def run_tools(tools, folder, path, sets):
    """The results of every set of inputs, or a message."""
    ir = os.path.join(folder, "model.mlir")
    r = subprocess.run([os.path.join(tools, "tenon-import"), path, "-o", ir], capture_output=True, text=True)
    if r.returncode:
        return f"import fails with {r.returncode}: {r.stderr.strip()[:1500]}"
    text = open(ir).read()
    head = next(line for line in text.splitlines() if "func.func @main" in line)
    states = len(re.findall(r"graph\.state", head.split(" -> ")[0]))
    results = len(re.findall(r"graph\.name", head.split(" -> ", 1)[1])) if " -> " in head else 0
    out = []
    for inputs in sets:
        command = [os.path.join(tools, "tenon-interp"), ir]
        for i, x in enumerate(inputs):
            np.save(os.path.join(folder, f"in{i}.npy"), as_numpy(x))
            command.append(f"--input=@{folder}/in{i}.npy")
        command += ["--input=init"] * states + [f"--output=@{folder}/out{i}.npy" for i in range(results)]
        r = subprocess.run(command, capture_output=True, text=True)
        if r.returncode:
            return f"interpreter fails with {r.returncode}: {r.stderr.strip()[:1500]}"
        out.append([np.load(os.path.join(folder, f"out{i}.npy")) for i in range(results)])
    return out


def check(tools, folder, name, path, sets, wants):
    os.makedirs(folder, exist_ok=True)
    got = run_tools(tools, folder, path, sets)
    if isinstance(got, str):
        return name, got
    for k, (have, want) in enumerate(zip(got, wants)):
        if len(have) < len(want):
            return name, f"{len(have)} results, not {len(want)}"
        for i, (h, w) in enumerate(zip(have, want)):
            message = difference(from_numpy(h, w.dtype), w)
            if message:
                return name, f"inputs {k}, result {i}: {message}"
    return name, None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tools", required=True)
    parser.add_argument("--match", default="")
    parser.add_argument("--forms", default="exported,core")
    parser.add_argument("--keep")
    parser.add_argument("-j", type=int, default=2)
    parser.add_argument("-v", action="store_true")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    failures = count = 0
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(args.j) as pool:
        root = args.keep or temporary
        jobs = []
        for name, function, inputs, dynamic in op_cases.cases():
            if args.match not in name:
                continue
            module = function if isinstance(function, torch.nn.Module) else Call(function)
            module = module.eval()
            varargs = not isinstance(function, torch.nn.Module)
            try:
                with torch.no_grad():
                    shapes = (tuple(dynamic),) if dynamic and varargs else dynamic
                    program = torch.export.export(module, inputs, dynamic_shapes=shapes)
                    sets = [inputs] + ([resize(inputs, dynamic)] if dynamic else [])
                    saved = []
                    for form in args.forms.split(","):
                        case = f"{name} ({form})"
                        folder = os.path.join(root, re.sub(r"\W", "_", case))
                        os.makedirs(folder, exist_ok=True)
                        path = os.path.join(folder, "model.pt2")
                        torch.export.save(program if form == "exported" else program.run_decompositions(), path)
                        saved.append((folder, case, path))
                    # Only now: runs change the program's buffers.
                    wants, start = [], copy.deepcopy(program.state_dict)
                    for s in sets:
                        run = program.module()
                        run.load_state_dict(start, strict=False)
                        wants.append([t.clone() for t in flat(run(*[x.clone() for x in s]))])
                    for folder, case, path in saved:
                        jobs.append(pool.submit(check, args.tools, folder, case, path, sets, wants))
            except Exception as e:  # torch itself cannot do it
                print(f"skip {name}: {type(e).__name__} {str(e)[:200]}", flush=True)
        for job in jobs:
            name, message = job.result()
            count += 1
            failures += message is not None
            if message:
                print(f"FAIL {name}: {message}", flush=True)
            elif args.v:
                print(f"ok   {name}", flush=True)
    print(f"{count - failures} of {count} pass")
    sys.exit(min(failures, 100))


if __name__ == "__main__":
    main()
