"""generate.py OUT: writes small .pt2 files to OUT, each with what is unusual about it, as exported and decomposed. Needs torch."""
import os, sys
import torch
from torch import nn
from torch.export import Dim


class State(nn.Module):
    """A buffer that changes, tied and transposed weights, nested inputs and outputs."""
    def __init__(self):
        super().__init__()
        self.enc = nn.Linear(4, 4, bias=False)
        self.dec = nn.Linear(4, 4, bias=False)
        self.dec.weight = self.enc.weight
        self.view = nn.Parameter(torch.arange(12.).reshape(4, 3).t()[1:])
        self.register_buffer("count", torch.zeros(1))
        self.register_buffer("scratch", torch.ones(2), persistent=False)

    def forward(self, x, kv, *, scale=2, flag=None):
        self.count.add_(1)
        return {"y": self.dec(self.enc(x)) * scale + kv[0]["k"], "rest": (kv[1] @ self.view.t(), self.scratch * float("inf"))}


class Shapes(nn.Module):
    """Expressions over symbolic sizes."""
    def forward(self, x, y):
        n = x.shape[0] // 2
        return torch.cat([x[:n], y]), x.reshape(-1, 2), torch.zeros(max(x.shape[0], y.shape[0])), x.shape[0]


class Cond(nn.Module):
    """A graph inside a graph."""
    def forward(self, x):
        return torch.cond(x.sum() > 0, lambda x: x.sin(), lambda x: x - 1, (x,))


class Types(nn.Module):
    """Element types and kinds of arguments."""
    def forward(self, x, i):
        a, b = torch.split(x.to(torch.bfloat16), [1, 2])
        c = torch.full((2,), 3, dtype=torch.uint8)
        return a, b.to(torch.complex64) * (1 + 2j), c, x[:, i], torch.einsum("ij,kj->ik", x, x), x.to(memory_format=torch.contiguous_format)


def cases():
    b, m = Dim.AUTO(min=2, max=64), Dim.AUTO(min=2, max=32)
    kv = [{"k": torch.ones(1, 4)}, torch.randn(2, 4)]
    yield "state", State(), (torch.randn(3, 4), kv), {"scale": 3}, None
    yield "shapes", Shapes(), (torch.randn(8, 2), torch.randn(5, 2)), {}, {"x": {0: b}, "y": {0: m}}
    yield "cond", Cond(), (torch.randn(3),), {}, None
    yield "types", Types(), (torch.randn(3, 4), torch.tensor([0, 1])), {}, None
    joint = nn.Sequential(nn.Linear(4, 1), nn.Flatten(0))
    yield "static", joint, (torch.randn(3, 4),), {}, None


def main(out):
    os.makedirs(out, exist_ok=True)
    for name, module, args, kwargs, shapes in cases():
        program = torch.export.export(module.eval(), args, kwargs, dynamic_shapes=shapes)
        torch.export.save(program, os.path.join(out, name + ".pt2"))
        torch.export.save(program.run_decompositions(), os.path.join(out, name + "_core.pt2"))


if __name__ == "__main__":
    main(sys.argv[1])
