"""Models to .tenon files, by the `tenon` program."""

import os
import pathlib
import subprocess
import tempfile

from . import locate


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


def compile(model, output, args=None, kwargs=None, dynamic_shapes=None, targets=(), options=()):
    """Compiles a .pt2 or .mlir path, an ExportedProgram, or an nn.Module with example inputs, to the file `output`.

    `targets` are values of --target, `options` more options of `tenon compile`."""
    if isinstance(model, (str, os.PathLike)):
        return _run(model, output, targets, options)
    import torch

    if isinstance(model, torch.nn.Module):
        if args is None and kwargs is None:
            raise TypeError("compiling an nn.Module needs example inputs: args=(...)")
        model = export(model, args or (), kwargs, dynamic_shapes)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.pt2")
        torch.export.save(model, path)
        return _run(path, output, targets, options)


def _run(model, output, targets, options):
    command = [locate.driver(), "compile", os.fspath(model), "-o", os.fspath(output), "--quiet"]
    command += [f"--target={t}" for t in ([targets] if isinstance(targets, str) else targets)] + list(options)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    if done.returncode:
        kind = UnsupportedModel if done.returncode == 3 else CompileError
        raise kind(done.stderr.strip() or f"tenon compile ended with status {done.returncode}")
    return pathlib.Path(output)
