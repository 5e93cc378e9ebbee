"""Control flow, sizes that depend on data, and state across branches and loops, next to eager."""

import unittest

import numpy as np

import tenon
from harness import add_cases, assert_close, check, command, compile, eager, export, new_path, run, torch

import torch.nn as nn
from torch._higher_order_ops.associative_scan import associative_scan
from torch._higher_order_ops.scan import scan
from torch._higher_order_ops.while_loop import while_loop

Dim = torch.export.Dim


class Cond(nn.Module):
    """Branches with weights of their own, and one in the other."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x, y):
        def inner(x, y):
            return torch.cond(y.sum() > 0, lambda x, y: (self.b(x) + y, x * 2), lambda x, y: (x - y, y + 1), (x, y))

        return torch.cond(x.sum() > 0, lambda x, y: (self.a(x).relu(), y * 3), inner, (x, y))


class SizeCond(nn.Module):
    def forward(self, x):
        n = x.shape[0]
        return torch.cond(n > 4, lambda x: x.sin() + n, lambda x: x.cos() - n, (x,))


class While(nn.Module):
    """As many steps as a number says; two values that swap, one that only is passed on."""

    def forward(self, n, x, y, z):
        return while_loop(lambda i, n, x, y, z: i < n,
                          lambda i, n, x, y, z: (i + 1, n.clone(), y + z, x * 0.5, z.clone()),
                          (torch.zeros((), dtype=torch.int64), n, x, y, z))


class Nested(nn.Module):
    """A branch in a loop in a branch, with a product."""

    def __init__(self):
        super().__init__()
        self.w = nn.Linear(4, 4)

    def forward(self, x, p):
        def body(i, v):
            v = torch.cond(v.sum() > 0, lambda v: self.w(v).tanh() - 0.1, lambda v: v * v + 0.1, (v,))
            return i + 1, v

        def loop(x):
            return while_loop(lambda i, v: (i < 20) & (v.abs().max() < 1.5), body,
                              (torch.zeros((), dtype=torch.int64), x))[1]

        return torch.cond(p.any(), loop, lambda x: x.clone(), (x,))


class LoopInScan(nn.Module):
    """Each step of a scan runs a loop as often as its input says."""

    def forward(self, h, xs):
        def step(h, x):
            h = while_loop(lambda i, v: i < x.abs().max(), lambda i, v: (i + 1, v * 0.5 + x),
                           (torch.zeros(()), h))[1]
            return h, h + x

        return scan(step, h, xs)


class Cache(nn.Module):
    """A buffer that one branch updates in place."""

    def __init__(self):
        super().__init__()
        self.register_buffer("cache", torch.zeros(4, 8))

    def forward(self, x, at, p):
        new = torch.cond(p, lambda c, x, at: c.index_copy(0, at, x), lambda c, x, at: c.clone(), (self.cache, x, at))
        self.cache.copy_(new)
        return self.cache.sum(0)


class Found(nn.Module):
    def forward(self, x):
        positions = torch.nonzero(x > 0)
        chosen = x[x > 0.5]
        return positions, chosen * 2, torch.masked_select(x, x < -0.5).exp(), chosen.sum(), positions.shape[0]


class FoundInside(nn.Module):
    """Sizes that a branch and a step of a loop find for themselves."""

    def forward(self, x, c, n):
        branch = torch.cond(c, lambda x: x[x > 0].sum(), lambda x: x.sum(), (x,))
        _, y = torch._higher_order_ops.while_loop(lambda i, v: i < n, lambda i, v: (i + 1, v - v[v > 0].sum()),
                                                  (torch.zeros((), dtype=torch.int64), x))
        return branch, y


class Rows(nn.Module):
    def forward(self, x, keep):
        rows = x[keep]
        return rows @ rows.T, torch.where(keep)[0], rows.softmax(-1)


class Unique(nn.Module):
    def forward(self, x):
        return torch.unique(x, return_inverse=True, return_counts=True) + torch.unique_consecutive(x.flatten(),
                                                                                                  return_counts=True)


class Taken(nn.Module):
    """A number read from a tensor is a size."""

    def forward(self, x, n):
        k = n.item()
        torch._check(k >= 0)
        torch._check(k <= x.shape[0])
        return x[:k] * 2, torch.arange(k), torch.zeros(k, 3) + k


class Unbounded(nn.Module):
    def forward(self, n):
        k = n.item()
        torch._check(k >= 0)
        return torch.ones(k)


class AssociativeScan(nn.Module):
    """Exported as a tree of vmapped steps; the function reads a captured tensor and makes numbers of rows."""

    def __init__(self):
        super().__init__()
        self.register_buffer("rate", torch.rand(13))

    def forward(self, a, b):
        affine = associative_scan(lambda l, r: (l[0] * r[0], l[1] * r[0] + r[1]), (a, b), 1, combine_mode="generic")
        largest = associative_scan(lambda l, r: torch.maximum(l, r), b, 0, reverse=True, combine_mode="generic")
        decayed = associative_scan(lambda l, r: l * self.rate + r, b[:1], 2, combine_mode="generic")
        return *affine, largest, decayed


X, Y = torch.randn(3, 8), torch.randn(3, 8)
STEPS = [torch.tensor(n) for n in (0, 1, 2, 5)]
class Leaves(nn.Module):
    """Sizes that the branches do not share: fixed ones, what one of them finds, and of what lies inside another."""

    def forward(self, x, c):
        fixed, same = torch.cond(c, lambda x: (x[:3] * 2, x.sum(1)), lambda x: (x[:5] + 1, x.mean(1)), (x,))
        rows = torch.cond(c, lambda x: x[x[:, 0] > 0], lambda x: x + 1, (x,))
        inner = lambda x: torch.cond(x.sum() > 0, lambda x: x[x > 0], lambda x: x[:2, 0] - 1, (x,))
        flat = torch.cond(c, inner, lambda x: x.reshape(-1) * 3, (x,))
        return fixed.sin(), fixed.sum(0), same, rows.sum(0), rows * 2, flat.abs(), flat.shape[0] + fixed.shape[0]


CASES = [
    ("cond", lambda: check(Cond(), (X, Y), others=[(a * X.sign() * X, b * Y.sign() * Y) for a in (1, -1) for b in (1, -1)])),
    ("cond_on_size", lambda: check(SizeCond(), (torch.randn(6, 3),), {"x": {0: Dim("n", max=64)}},
                                   others=[(torch.randn(n, 3),) for n in (1, 4, 5)])),
    ("while", lambda: check(While(), (STEPS[3], X, Y, X - Y), others=[(n, X, Y, Y) for n in STEPS])),
    ("nested", lambda: check(Nested(), (torch.randn(2, 4), torch.tensor([False, True])),
                             others=[(s * torch.rand(2, 4), torch.tensor([p, False])) for s in (1, -1) for p in (True, False)])),
    ("loop_in_scan", lambda: check(LoopInScan(), (torch.randn(4), 2 * torch.randn(5, 4)))),
    ("found", lambda: check(Found(), (torch.randn(6, 7),), {"x": {0: Dim("n", max=64)}},
                            others=[(torch.randn(n, 7),) for n in (1, 9)] + [(-torch.ones(3, 7),), (torch.ones(3, 7),)])),
    ("found_inside", lambda: check(FoundInside(), (torch.randn(8), torch.tensor(True), torch.tensor(3)),
                                   others=[(-torch.ones(8), torch.tensor(True), torch.tensor(2)),
                                           (torch.ones(8), torch.tensor(False), torch.tensor(0))])),
    ("leaves", lambda: check(Leaves(), (torch.randn(6, 4), torch.tensor(True)), {"x": {0: Dim("n", min=5, max=64)}, "c": None},
                             others=[(s * torch.rand(n, 4), torch.tensor(c)) for n in (5, 9) for s in (1, -1) for c in (True, False)])),
    ("rows", lambda: check(Rows(), (torch.randn(9, 5), torch.rand(9) > 0.5),
                           others=[(torch.randn(9, 5), torch.arange(9) < n) for n in (0, 1, 9)])),
    ("unique", lambda: check(Unique(), (torch.randint(0, 5, (4, 6)),), others=[(torch.zeros(4, 6, dtype=torch.int64),)])),
    ("associative_scan", lambda: check(AssociativeScan(), (torch.rand(3, 13, 4), torch.randn(3, 13, 4)))),
    ("taken", lambda: check(Taken(), (torch.randn(6, 2), torch.tensor(3)),
                            others=[(torch.randn(6, 2), torch.tensor(n)) for n in (0, 1, 6)])),
]


class Control(unittest.TestCase):
    def test_state(self):
        """No copy of the buffer, and its value lasts from call to call, until a reset."""
        module = Cache().eval()
        args = (torch.randn(1, 8), torch.tensor([2]), torch.tensor(True))
        model = export(module, args)
        path = new_path(".plan")
        self.assertEqual(command("compile", model, "-o", path, "--stop-after=plan", "-q"), (0, ""))
        text = path.read_text()
        self.assertIn("plan.if", text)
        self.assertNotIn("copied", text)
        self.assertNotIn("plan.copy", text)
        with tenon.Program(compile(model)) as program, program.session() as session:
            module = Cache().eval()
            for step in range(4):
                args = (torch.randn(1, 8), torch.tensor([step]), torch.tensor(step != 2))
                assert_close(session(*args), eager(module, args))

    def test_errors(self):
        path = compile(export(Taken(), (torch.randn(6, 2), torch.tensor(3))))
        for n in (7, -1):
            with self.assertRaisesRegex(Exception, rf"size 'u0' is {n} but must be in 0 .. 6"):
                run(path, (torch.randn(6, 2), torch.tensor(n)))
        status, text = command("compile", export(Unbounded(), (torch.tensor(3),)), "-o", new_path(".tenon"), "-q")
        self.assertEqual(status, 3)
        self.assertIn("as a size without an upper bound", text)


add_cases(Control, CASES)
