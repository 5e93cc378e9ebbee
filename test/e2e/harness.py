"""What the end-to-end tests share: a module through torch.export, tenon compile and the runtime, next to eager."""

import pathlib
import re
import subprocess
import tempfile
import unittest

import numpy as np

try:
    import torch
except ModuleNotFoundError as error:
    raise unittest.SkipTest(f"torch is not installed: {error}") from None

import tenon
from tenon import locate

FOLDER = tempfile.TemporaryDirectory(prefix="tenon-e2e-")
torch.manual_seed(0)
_compiled = 0


def command(*arguments, **named):
    """Runs the driver; gives its status and what it wrote to stderr."""
    done = subprocess.run([locate.driver(), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, errors="replace", timeout=600, **named)
    return done.returncode, done.stderr


def output_of(*arguments):
    done = subprocess.run([locate.driver(), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=600)
    if done.returncode:
        raise AssertionError(f"tenon {' '.join(map(str, arguments))}: {done.stderr}")
    return done.stdout


def new_path(suffix):
    global _compiled
    _compiled += 1
    return pathlib.Path(FOLDER.name) / f"m{_compiled}{suffix}"


def export(module, args, dynamic_shapes=None, decompose=False, strict=False):
    """Writes a .pt2 file and gives its path."""
    module = module.eval().requires_grad_(False)
    with torch.no_grad():
        program = torch.export.export(module, tuple(args), dynamic_shapes=dynamic_shapes, strict=strict)
        if decompose:
            program = program.run_decompositions()
    path = new_path(".pt2")
    torch.export.save(program, path)
    return path


def compile(model, *options):
    """Compiles a path; gives the artifact's."""
    path = new_path(".tenon")
    status, text = command("compile", model, "-o", path, "--quiet", *options)
    if status:
        raise AssertionError(f"tenon compile ended with status {status}: {text.strip()}")
    return path


def leaves(result):
    """Tensors and integers, which are outputs of their own."""
    return [torch.as_tensor(x) for x in torch.utils._pytree.tree_leaves(result) if isinstance(x, (torch.Tensor, int))]


def eager(module, args):
    with torch.no_grad():
        return [x.clone() for x in leaves(module(*args))]


def bits(tensor):
    """As numpy; bfloat16 as the unsigned integers the runtime gives."""
    tensor = tensor.detach().contiguous()
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


TOLERANCE = {torch.float64: (1e-7, 1e-9), torch.float32: (1e-4, 1e-5), torch.float16: (5e-3, 5e-4),
             torch.bfloat16: (2e-2, 2e-3), torch.complex64: (1e-4, 1e-5), torch.complex128: (1e-7, 1e-9)}


def assert_close(got, want, scaled=False, factor=1.0):
    """`got` from the runtime, `want` from torch."""
    if len(got) != len(want):
        raise AssertionError(f"{len(got)} outputs but torch gives {len(want)}")
    for i, (g, w) in enumerate(zip(got, want)):
        if tuple(g.shape) != tuple(w.shape):
            raise AssertionError(f"output {i} has shape {g.shape} but torch gives {tuple(w.shape)}")
        if g.dtype != bits(w).dtype:
            raise AssertionError(f"output {i} has type {g.dtype} but torch gives {bits(w).dtype}")
        if not (w.is_floating_point() or w.is_complex()):
            if not np.array_equal(g, w.numpy()):
                raise AssertionError(f"output {i}: {int((g != w.numpy()).sum())} of {w.numel()} values differ")
            continue
        g = torch.from_numpy(np.array(g))
        g = g.view(torch.bfloat16) if w.dtype == torch.bfloat16 else g
        relative, absolute = TOLERANCE[w.dtype]
        wide = torch.complex128 if w.is_complex() else torch.float64
        g, w = g.to(wide), w.to(wide)
        finite = torch.isfinite(w)
        same = (g == w) | (torch.isnan(g) & torch.isnan(w)) if not w.is_complex() else torch.ones_like(finite)
        if not bool(same[~finite].all()):
            raise AssertionError(f"output {i}: NaN or infinities differ")
        error = (g - w).abs()[finite]
        if error.numel() == 0:
            continue
        scale = w.abs()[finite]
        limit = absolute + relative * (scale.max() if scaled else scale)
        if not bool((error <= limit * factor).all()):
            raise AssertionError(f"output {i}: largest error {error.max().item():.3g}, largest value "
                                 f"{scale.max().item():.3g}, {int((~(error <= limit * factor)).sum())} of {w.numel()} wrong")


def run(path, args, threads=1, variant=None, device=None):
    """One call of an artifact."""
    program = tenon.Program(path, variant=variant, device=device)
    session = program.session(threads=threads)
    results = session(*[x for x in torch.utils._pytree.tree_leaves(args) if x is not None])
    session.close()
    program.close()
    return results


def check(module, args, dynamic_shapes=None, decompose=False, others=(), scaled=False, factor=1.0, options=()):
    """Compiles once; compares for the example inputs and for each of `others`."""
    module = module.eval()
    path = compile(export(module, args, dynamic_shapes, decompose), *options)
    for values in (args, *others):
        assert_close(run(path, values), eager(module, values), scaled, factor)
    return path


def add_cases(cls, cases):
    """One test method for each (name, function) pair; known failures must fail."""
    known = known_failures()
    for name, function in cases:
        test = lambda self, function=function: function()
        method = "test_" + re.sub(r"\W+", "_", name)
        test.__name__ = method
        if f"{cls.__module__}.{cls.__name__}.{method}" in known:
            test = unittest.expectedFailure(test)
        setattr(cls, method, test)


class _Group(torch.nn.Module):
    """Several functions as one model, each on its own inputs: a process and a file for all of them."""

    def __init__(self, functions, counts):
        super().__init__()
        self.functions, self.counts = functions, counts

    def forward(self, *inputs):
        results, first = [], 0
        for function, count in zip(self.functions, self.counts):
            # Named tuples are what torch.export.save does not write.
            results += torch.utils._pytree.tree_leaves(function(*inputs[first:first + count]))
            first += count
        return tuple(results)


def add_groups(cls, cases, size=8, **options):
    """`cases`: name -> (function, inputs). One test method for `size` of them, named after the first and the last."""
    def test_of(part):
        functions, inputs = zip(*(cases[name] for name in part))
        flat = [x for group in inputs for x in group]
        outputs = [name for name, function, args in zip(part, functions, inputs)
                   for _ in torch.utils._pytree.tree_leaves(eager(_Group([function], [len(args)]), args))]

        def test():
            try:
                check(_Group(functions, [len(x) for x in inputs]), flat, **{"decompose": True, **options})
            except AssertionError as error:
                found = re.match(r"output (\d+)", str(error))
                raise AssertionError(f"{outputs[int(found[1])] if found else part}: {error}") from None

        return test

    names = list(cases)
    for first in range(0, len(names), size):
        part = names[first:first + size]
        add_cases(cls, [(f"{part[0]}_to_{part[-1]}", test_of(part))])


def known_failures():
    path = pathlib.Path(__file__).with_name("known-failures.txt")
    if not path.exists():
        return {}
    lines = (line.split("#", 1) for line in path.read_text().splitlines() if not line.startswith("#"))
    return {parts[0].strip(): parts[-1].strip() for parts in lines if parts[0].strip()}
