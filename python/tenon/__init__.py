"""tenon: compiles exported PyTorch models ahead of time, and runs what it compiled.

    import tenon
    tenon.compile(torch.export.export(model, (x,)), "model.tenon")   # or the path of a .pt2 file, or an nn.Module
    program = tenon.Program("model.tenon")
    y, = program.session(threads=2)(x)                               # numpy in, numpy out

    compiled = tenon.compile(model, (x,))                            # in one step; called like the model
    y = compiled(x)
"""

from .compiler import CompileError, CompiledModel, UnsupportedModel, compile, export, save
from .runtime import Error, Program, Session

__all__ = ["compile", "export", "save", "CompiledModel", "CompileError", "UnsupportedModel", "Program", "Session", "Error"]
