"""Models to .tenon files, by the `tenon` program."""

import os
import pathlib
import subprocess
import tempfile

from . import locate
from .flex import make_serializable
from .runtime import Program


class CompileError(RuntimeError):
    """The compiler's own words."""


class UnsupportedModel(CompileError):
    """The model is valid but uses something that is not supported; the message lists all of it."""


def export(model, args=(), kwargs=None, dynamic_shapes=None):
    """torch.export of an nn.Module in inference mode."""
    import torch

    model = model.eval().requires_grad_(False)
    with torch.no_grad():
        return torch.export.export(model, tuple(args), kwargs, dynamic_shapes=dynamic_shapes)


def compile(model, output=None, args=None, kwargs=None, dynamic_shapes=None, targets=(), options=(), threads=0):
    """Compiles a .pt2 or .mlir path, an ExportedProgram, or an nn.Module with example inputs.

    With `output`, the file of that name is written and its path is the result. Without, the result is a
    `CompiledModel`, which is called like the model. `compile(model, (x, y))` is short for `args=(x, y)`.
    `targets` are values of --target, `options` more options of `tenon compile`."""
    if isinstance(output, (tuple, list)):
        if args is not None:
            raise TypeError("example inputs are given twice")
        output, args = None, output
    if output is None:
        folder = tempfile.TemporaryDirectory(prefix="tenon-")
        path = os.path.join(folder.name, "model.tenon")
        if not isinstance(model, (str, os.PathLike)):
            model = _exported(model, args, kwargs, dynamic_shapes)
        compile(model, path, targets=targets, options=options)
        return CompiledModel(path, getattr(model, "call_spec", None), threads, folder)
    if isinstance(model, (str, os.PathLike)):
        return _run(model, output, targets, options)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.pt2")
        save(_exported(model, args, kwargs, dynamic_shapes), path)
        return _run(path, output, targets, options)


def save(program, path):
    """torch.export.save, also for programs with `flex_attention`, which that cannot write."""
    import torch

    torch.export.save(make_serializable(program), path)
    return path


def _exported(model, args, kwargs, dynamic_shapes):
    import torch

    if not isinstance(model, torch.nn.Module):
        return model
    if args is None and kwargs is None:
        raise TypeError("compiling an nn.Module needs example inputs: args=(...)")
    return export(model, args or (), kwargs, dynamic_shapes)


class CompiledModel:
    """Called like the model it was made from, with torch tensors or numpy arrays. Contiguous inputs are read where they
    lie, outputs are new memory that is not copied again. `program` and `session` are the runtime's."""

    def __init__(self, path, call_spec=None, threads=0, folder=None):
        self.path, self._folder = path, folder
        self._in_spec = getattr(call_spec, "in_spec", None)
        self._out_spec = getattr(call_spec, "out_spec", None)
        self.program = Program(path)
        self.session = self.program.session(threads)

    def __call__(self, *args, **kwargs):
        leaves, is_torch = self._flatten(args, kwargs)
        call = self.session.prepare(*leaves)
        call()
        results = call.results(copy=False)
        if is_torch:
            results = [_as_torch(array, slot) for array, slot in zip(results, self.program.entry().outputs)]
        if self._out_spec is not None and self._out_spec.num_leaves == len(results):
            from torch.utils import _pytree

            return _pytree.tree_unflatten(results, self._out_spec)
        return tuple(results)

    def _flatten(self, args, kwargs):
        if self._in_spec is None and not kwargs:
            leaves = list(args)
        else:
            from torch.utils import _pytree

            # Keywords in the order of the export.
            if self._in_spec is not None and kwargs:
                names = self._in_spec.children_specs[1].context if len(self._in_spec.children_specs) > 1 else ()
                if set(names) != set(kwargs):
                    raise TypeError(f"the model was exported with the keyword arguments {sorted(names)}")
                kwargs = {name: kwargs[name] for name in names}
            leaves = _pytree.tree_leaves((args, kwargs))
        arrays = [x for x in leaves if x is None or hasattr(x, "shape")]
        return arrays, any(hasattr(x, "detach") for x in arrays)


def _as_torch(array, slot):
    import torch

    codes = {4: torch.bfloat16}
    tensor = torch.from_numpy(array)
    return tensor.view(codes[slot.dtype_code]) if slot.dtype_code in codes else tensor


def _run(model, output, targets, options):
    command = [locate.driver(), "compile", os.fspath(model), "-o", os.fspath(output), "--quiet"]
    command += [f"--target={t}" for t in ([targets] if isinstance(targets, str) else targets)] + list(options)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    if done.returncode:
        kind = UnsupportedModel if done.returncode == 3 else CompileError
        raise kind(done.stderr.strip() or f"tenon compile ended with status {done.returncode}")
    return pathlib.Path(output)
