"""Random convolutions and poolings against torch: shapes, strides, paddings, groups, symbolic sizes, bit-identity.

    TENON_BIN=build/dev/bin LLVM_BIN=<llvm>/bin python3 test/Target/CPU/conv_numeric.py [--seed N] [--count N]
"""
import argparse
import random
import sys

import numpy as np
import torch
import torch.nn.functional as F

from kernel_harness import Module, pack

ELEMENTS = {"f32": np.float32, "f64": np.float64, "f16": np.float16}


def tensor(sizes, element="f32"):
    """Type text of a tensor; sizes that are text are symbolic."""
    if all(isinstance(s, int) for s in sizes):
        return "tensor<%sx%s>" % ("x".join(map(str, sizes)), element)
    shape = "x".join(str(s) if isinstance(s, int) else "?" for s in sizes)
    return "tensor<%sx%s, #graph.dims<[%s]>>" % (shape, element, ", ".join(map(str, sizes)))


def ints(values):
    return "[%s]" % ", ".join(map(str, values))


class Conv:
    """One convolution with an epilogue: relu(conv + bias [+ residual])."""

    def __init__(self, rank, n, size, c, o, window, strides, low, high, dilations, input_dilation, groups,
                 symbolic=(), has_layout=True, residual=False, element="f32"):
        self.__dict__.update(locals())
        self.depthwise = groups > 1 and groups == c == o and all(d == 1 for d in input_dilation)

    def out_size(self, d, size=None):
        padded = ((size or self.size)[d] - 1) * self.input_dilation[d] + 1 + self.low[d] + self.high[d]
        return (padded - (self.window[d] - 1) * self.dilations[d] - 1) // self.strides[d] + 1

    def layout(self):
        spatial = list(range(2, 2 + self.rank))
        if self.depthwise:
            return spatial + [0, 1], 0, 1, 0
        return [0] + spatial + [1], 1, self.groups, 16

    def text(self, name):
        sizes, out, symbols = [self.n] + list(self.size), [self.n], 0
        self.symbols = []
        for i in range(len(sizes)):
            if i in self.symbolic:
                self.symbols.append(sizes[i])
                sizes[i] = f"s{len(self.symbols) - 1}"
        out = [sizes[0]]
        for d in range(self.rank):
            if isinstance(sizes[d + 1], int):
                out.append(self.out_size(d))
                continue
            constant = -self.input_dilation[d] + 1 + self.low[d] + self.high[d] - (self.window[d] - 1) * self.dilations[d] - 1
            expr = sizes[d + 1]
            if self.input_dilation[d] != 1:
                expr = f"{expr} * {self.input_dilation[d]}"
            if constant:
                expr = f"{expr} + {constant}"
            out.append(f"({expr}) floordiv {self.strides[d]} + 1" if self.strides[d] != 1 else f"{expr} + 1")
        ti, to = tensor(sizes + [self.c], self.element), tensor(out + [self.o], self.element)
        tf = tensor([self.o, self.c // self.groups] + list(self.window), self.element)
        tb = tensor([self.o], self.element)
        order, n, groups, width = self.layout()
        attr = f" {{kernel.layout = #kernel.layout<order = {ints(order)}, n = {n}, groups = {groups}, width = {width}>}}" if self.has_layout else ""
        dims = ", ".join(f"d{i}" for i in range(self.rank + 2))
        identity, last = f"affine_map<({dims}) -> ({dims})>", f"affine_map<({dims}) -> (d{self.rank + 1})>"
        e = self.element
        zero = f"arith.constant 0.0 : {e}"
        res_arg = f", %res: {to}" if self.residual else ""
        ins = f"%0, %b, %res : {to}, {tb}, {to}" if self.residual else f"%0, %b : {to}, {tb}"
        maps = f"[{identity}, {last}, {identity}]" if self.residual else f"[{identity}, {last}]"
        block = f"%x: {e}, %y: {e}" + (f", %z: {e}" if self.residual else "")
        more = f"%s = arith.addf %t, %z : {e}" if self.residual else f"%s = arith.addf %t, %zero : {e}"
        return f"""
kernel.func @{name}(%i: {ti}, %f: {tf}{attr}, %b: {tb}{res_arg}) -> {to} {{
  %0 = graph.conv %i, %f strides {ints(self.strides)} low {ints(self.low)} high {ints(self.high)} dilations {ints(self.dilations)} input_dilation {ints(self.input_dilation)} groups {self.groups} : {ti}, {tf} -> {to}
  %1 = graph.map ins({ins}) maps {maps} -> {to} {{
  ^bb0({block}):
    %zero = {zero}
    %t = arith.addf %x, %y : {e}
    {more}
    %g = arith.cmpf ogt, %s, %zero : {e}
    %m = arith.select %g, %s, %zero : {e}
    graph.yield %m : {e}
  }}
  kernel.return %1 : {to}
}}"""

    def reference(self, x, w, b, res):
        t = torch.from_numpy(x.astype(np.float64)).movedim(-1, 1)
        if any(d != 1 for d in self.input_dilation):
            sizes = [(s - 1) * d + 1 for s, d in zip(t.shape[2:], self.input_dilation)]
            spread = torch.zeros(*t.shape[:2], *sizes, dtype=t.dtype)
            spread[(slice(None), slice(None)) + tuple(slice(None, None, d) for d in self.input_dilation)] = t
            t = spread
        pads = []
        for l, h in reversed(list(zip(self.low, self.high))):
            pads += [l, h]
        t = F.pad(t, pads)
        conv = [F.conv1d, F.conv2d, F.conv3d][self.rank - 1]
        y = conv(t, torch.from_numpy(w.astype(np.float64)), None, tuple(self.strides), 0, tuple(self.dilations), self.groups)
        y = y.movedim(1, -1).numpy()
        if self.element == "f16":
            y = y.astype(np.float16).astype(np.float64)
        y = y + b.astype(np.float64)
        if res is not None:
            y = y + res
        return np.maximum(y, 0)

    def run(self, module, name, rng, n=None, x=None, w=None, b=None, res=None):
        n = n or self.n
        dtype = ELEMENTS[self.element]
        draw = lambda *shape: rng.standard_normal(shape).astype(dtype)
        out = [n] + [self.out_size(d) for d in range(self.rank)] + [self.o]
        x = draw(n, *self.size, self.c) if x is None else x
        w = draw(self.o, self.c // self.groups, *self.window) if w is None else w
        b = draw(self.o) if b is None else b
        res = draw(*out) if self.residual and res is None else res
        order, pn, groups, width = self.layout()
        stored = pack(w, order, pn, groups, width) if self.has_layout else w
        y = np.full(out, 99, dtype)
        arrays = [x, stored, b] + ([res] if self.residual else []) + [y]
        symbols = list(self.symbols)
        if 0 in self.symbolic:
            symbols[0] = n
        call = module.bind(name, arrays, symbols)
        call()
        # Any split of the grid gives the same bits.
        again = y.copy()
        tiles = call.schedule["tiles"]
        y[...] = 98
        for t in range(tiles - 1, -1, -1):
            call(t, t + 1)
        assert np.array_equal(y.view(np.uint8), again.view(np.uint8)), "differs when tiles run one by one"
        return x, w, b, res, y


def random_conv(r):
    rank = r.choice([1, 2, 2, 2, 2, 3])
    window = [r.choice([1, 1, 2, 3, 3, 4, 5, 7]) for _ in range(rank)]
    if rank == 3:
        window = [min(w, 3) for w in window]
    dilations = [r.choice([1, 1, 1, 2, 3]) for _ in range(rank)]
    strides = [r.choice([1, 1, 2, 3]) for _ in range(rank)]
    input_dilation = [r.choice([2, 3]) if r.random() < 0.1 else 1 for _ in range(rank)]
    low = [r.choice([0, 0, 1, 2, 3, -1]) for _ in range(rank)]
    high = [r.choice([0, 0, 1, 2, 3, -1]) for _ in range(rank)]
    size = []
    for d in range(rank):
        least = (window[d] - 1) * dilations[d] + 1 - low[d] - high[d]
        size.append(max(3, least) + r.randrange(0, 12 if rank < 3 else 4))
    kind = r.random()
    if kind < 0.5:
        groups, c, o = 1, r.choice([1, 2, 3, 4, 8, 15, 16, 17, 20, 32, 64]), r.choice([1, 3, 5, 8, 10, 16, 17, 24, 32, 40, 70, 150])
    elif kind < 0.75:
        groups = r.choice([2, 3, 8, 16, 24, 33])
        c = o = groups
    else:
        groups = r.choice([2, 3, 4])
        c, o = groups * r.choice([1, 2, 4, 5, 16]), groups * r.choice([1, 2, 4, 8, 17])
    symbolic = r.choice([(), (), (0,), (0,), tuple(range(rank + 1)), tuple(range(1, rank + 1))])
    if any(d != 1 for d in input_dilation) and len(symbolic) > 1:
        symbolic = (0,)  # the size expressions of the two ways to write them do not normalise to one form
    return Conv(rank, r.choice([1, 1, 2, 3]), size, c, o, window, strides, low, high, dilations, input_dilation, groups,
                symbolic, has_layout=r.random() < 0.8, residual=r.random() < 0.3,
                element=r.choice(["f32"] * 6 + ["f64", "f16"]))


def check_conv(case, module, name, rng):
    x, w, b, res, y = case.run(module, name, rng)
    want = case.reference(x, w, b, res)
    terms = int(np.prod(case.window)) * (case.c // case.groups)
    unit = {"f32": 2.0 ** -23, "f64": 2.0 ** -52, "f16": 2.0 ** -9}[case.element]
    scale = 4 * (1 + terms ** 0.5) * (1 if case.element == "f16" else terms ** 0.5)
    error = float(np.abs(y - want).max()) if y.size else 0.0
    assert error < unit * scale * 4, f"error {error}"
    if 0 in case.symbolic and case.n < 3:  # the same image in a larger batch has the same bits
        more = np.concatenate([rng.standard_normal((1,) + x.shape[1:]).astype(x.dtype), x], 0)
        res3 = None if res is None else np.concatenate([res[:1], res], 0)
        y3 = case.run(module, name, rng, case.n + 1, more, w, b, res3)[-1]
        assert np.array_equal(y3[1:].view(np.uint8), y.view(np.uint8)), "differs in a larger batch"
    return error


KINDS = {"max": (np.maximum, -np.inf), "min": (np.minimum, np.inf), "sum": (np.add, 0.0), "prod": (np.multiply, 1.0)}


class Pool:
    """One pooling with a producer (x * 2) and an epilogue (y + 1), over any dimensions."""

    def __init__(self, kind, size, window, strides, low, high, dilations, symbolic=(), element="f32"):
        self.__dict__.update(locals())

    def out_size(self, d):
        return (self.size[d] + self.low[d] + self.high[d] - (self.window[d] - 1) * self.dilations[d] - 1) // self.strides[d] + 1

    def text(self, name):
        sizes, out, self.symbols = list(self.size), [], []
        for d in range(len(sizes)):
            o = self.out_size(d)
            if d in self.symbolic and self.strides[d] == 1:
                sizes[d] = f"s{len(self.symbols)}"
                difference = o - self.size[d]
                o = f"{sizes[d]} + {difference}" if difference else sizes[d]
                self.symbols.append(self.size[d])
            out.append(o)
        ti, to, e = tensor(sizes, self.element), tensor(out, self.element), self.element
        dims = ", ".join(f"d{i}" for i in range(len(sizes)))
        identity = f"[affine_map<({dims}) -> ({dims})>]"
        return f"""
kernel.func @{name}(%i: {ti}) -> {to} {{
  %p = graph.map ins(%i : {ti}) maps {identity} -> {ti} {{
  ^bb0(%x: {e}):
    %t = arith.addf %x, %x : {e}
    graph.yield %t : {e}
  }}
  %0 = graph.reduce_window {self.kind} %p window {ints(self.window)} strides {ints(self.strides)} low {ints(self.low)} dilations {ints(self.dilations)} : {ti} -> {to}
  %1 = graph.map ins(%0 : {to}) maps {identity} -> {to} {{
  ^bb0(%x: {e}):
    %one = arith.constant 1.0 : {e}
    %t = arith.addf %x, %one : {e}
    graph.yield %t : {e}
  }}
  kernel.return %1 : {to}
}}"""

    def check(self, module, name, rng):
        dtype = ELEMENTS[self.element]
        x = rng.standard_normal(self.size).astype(dtype)
        if self.kind in ("max", "min") and x.size > 20:
            x.reshape(-1)[rng.integers(x.size)] = np.nan
        combine, identity = KINDS[self.kind]
        padded = np.pad(x.astype(np.float64) * 2, list(zip(self.low, self.high)), constant_values=identity)
        want = np.full([self.out_size(d) for d in range(len(self.size))], identity)
        for taps in np.ndindex(*self.window):
            part = tuple(slice(t * dil, t * dil + (o - 1) * s + 1, s)
                         for t, dil, o, s in zip(taps, self.dilations, want.shape, self.strides))
            want = combine(want, padded[part])
        want = want + 1
        y = np.full(want.shape, 99, dtype)
        call = module.bind(name, [x, y], self.symbols)
        call()
        again = y.copy()
        for t in range(call.schedule["tiles"] - 1, -1, -1):
            call(t, t + 1)
        assert np.array_equal(y.view(np.uint8), again.view(np.uint8)), "differs when tiles run one by one"
        assert np.array_equal(np.isnan(y), np.isnan(want)), "has NaN in other places"
        with np.errstate(invalid="ignore"):
            same = np.where(want == y, 0, y - want)
        error = float(np.nanmax(np.abs(same) / (1 + np.abs(want)))) if y.size and not np.isnan(want).all() else 0.0
        limit = {"f32": 2e-5, "f64": 1e-13, "f16": 3e-2}[self.element]
        assert error < limit, f"error {error}"
        return 0.0 if self.element == "f16" else error


def random_pool(r):
    rank = r.choice([2, 3, 4, 4, 4, 5])
    is_nhwc = r.random() < 0.7
    size, window, strides, low, high, dilations = [], [], [], [], [], []
    for d in range(rank):
        slides = 0 < d < rank - 1 if is_nhwc else r.random() < 0.6
        w = r.choice([1, 2, 3, 3, 5]) if slides else 1
        dil = r.choice([1, 1, 2]) if slides else 1
        window.append(w)
        dilations.append(dil)
        strides.append(r.choice([1, 2, 3]) if slides else 1)
        low.append(r.randrange(0, 3) if slides else 0)
        high.append(r.randrange(0, 3) if slides else 0)
        size.append((w - 1) * dil + 1 + r.randrange(0, 7) if slides else r.choice([1, 2, 3, 8, 17, 40, 64][: 3 if rank == 5 else 7]))
    symbolic = r.choice([(), (0,), tuple(range(rank))])
    return Pool(r.choice(list(KINDS)), size, window, strides, low, high, dilations, symbolic,
                r.choice(["f32"] * 5 + ["f64", "f16"]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--march", default="x86-64-v3")
    parser.add_argument("--keep")
    args = parser.parse_args()
    r, rng = random.Random(args.seed), np.random.default_rng(args.seed)
    torch.set_num_threads(1)
    cases = [random_conv(r) if r.random() < 0.75 else random_pool(r) for _ in range(args.count)]
    module = Module("\n".join(case.text(f"k{i}") for i, case in enumerate(cases)), args.march, keep=args.keep)
    failures, worst = 0, 0
    for i, case in enumerate(cases):
        try:
            error = case.check(module, f"k{i}", rng) if isinstance(case, Pool) else check_conv(case, module, f"k{i}", rng)
            worst = max(worst, error)
        except AssertionError as problem:
            failures += 1
            shown = {k: v for k, v in case.__dict__.items() if k not in ("self",)}
            print(f"k{i}: {problem}: {shown}")
    print(f"seed {args.seed}: {len(cases) - failures} of {len(cases)} right, largest error {worst:.2e}")
    return failures != 0


if __name__ == "__main__":
    sys.exit(main())
