"""tenon: compiles exported PyTorch models ahead of time, and runs what it compiled.

    import tenon
    tenon.compile(torch.export.export(model, (x,)), "model.tenon")   # or the path of a .pt2 file, or an nn.Module
    program = tenon.Program("model.tenon")
    y, = program.session(threads=2)(x)                               # numpy in, numpy out
"""

from .compiler import CompileError, UnsupportedModel, compile, export
from .runtime import Error, Program, Session

__all__ = ["compile", "export", "CompileError", "UnsupportedModel", "Program", "Session", "Error"]
