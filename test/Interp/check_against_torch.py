"""Compares the interpreter with torch on random shapes: contract, conv, attention, reduce, reduce_window, cumulate, sort,
arg_reduce, gather and scatter.

Torch computes in f64, so that the interpreter's results, rounded once to f32, must agree to within f32 rounding of the
sum's magnitude. Prints the failing module and the seed.
"""
import argparse
import os
import random
import string
import subprocess
import sys
import tempfile

import numpy as np
import torch
import torch.nn.functional as F


def tensor(shape, dtype="f32"):
    return "tensor<" + "".join(f"{s}x" for s in shape) + dtype + ">"


def affine(dims, results):
    names = [f"d{i}" for i in range(dims)]
    return f"affine_map<({', '.join(names)}) -> ({', '.join(results)})>"


DTYPES = {"f32": np.float32, "f64": np.float64, "i64": np.int64, "i32": np.int32, "i8": np.int8, "f16": np.float16}


class Case:
    """A function of the graph dialect with inputs, and what torch gives for them."""

    def __init__(self, rng):
        self.rng = rng
        self.inputs = []
        self.types = []

    def random(self, shape, dtype="f32", low=-4, high=5):
        if dtype.startswith("f"):
            value = self.rng.standard_normal(shape).astype(DTYPES[dtype])
        else:
            value = self.rng.integers(low, high, shape).astype(DTYPES[dtype])
        return self.add(value, dtype)

    def add(self, value, dtype):
        value = np.asarray(value)
        self.inputs.append(value)
        self.types.append(tensor(value.shape, dtype))
        wide = torch.from_numpy(np.ascontiguousarray(value)).reshape(value.shape)
        return wide.double() if wide.is_floating_point() else wide

    def module(self, op, result_types):
        args = ", ".join(f"%a{i}: {t}" for i, t in enumerate(self.types))
        names = ", ".join(f"%r{i}" for i in range(len(result_types)))
        types = ", ".join(result_types)
        return f"func.func @main({args}) -> ({types}) {{\n  {names} = {op}\n  return {names} : {types}\n}}\n"

    def list_of(self, values):
        return "[" + ", ".join(str(int(v)) for v in values) + "]"


def pick(rng, *values):
    return values[int(rng.integers(len(values)))]


def size(rng, low=0):
    return int(pick(rng, *[s for s in (0, 1, 2, 3, 5, 7) if s >= low]))


def contract(rng):
    case = Case(rng)
    kinds = [pick(rng, "lr", "lo", "ro", "lro") for _ in range(int(rng.integers(1, 5)))]
    sizes = [size(rng) for _ in kinds]
    dtype = pick(rng, "f32", "f32", "i32", "i64")

    def dims(which):
        d = [i for i, kind in enumerate(kinds) if which in kind]
        rng.shuffle(d)
        return [int(i) for i in d]

    l, r, o = dims("l"), dims("r"), dims("o")
    a = case.random([sizes[i] for i in l], dtype)
    b = case.random([sizes[i] for i in r], dtype)
    letters = string.ascii_lowercase
    text = "".join(letters[i] for i in l) + "," + "".join(letters[i] for i in r) + "->" + "".join(letters[i] for i in o)
    want = torch.einsum(text, a, b)
    maps = ", ".join(affine(len(kinds), [f"d{i}" for i in d]) for d in (l, r, o))
    result = tensor(want.shape, dtype)
    return case, case.module(
        f"graph.contract %a0, %a1 maps [{maps}] : {case.types[0]}, {case.types[1]} -> {result}", [result]), [want]


def conv(rng):
    case = Case(rng)
    spatial = int(rng.integers(1, 4))
    groups = pick(rng, 1, 1, 2, 3)
    c, o, n = size(rng, 1) * groups, size(rng, 1) * groups, pick(rng, 0, 1, 2)
    window = [pick(rng, 1, 2, 3) for _ in range(spatial)]
    strides = [pick(rng, 1, 1, 2, 3) for _ in range(spatial)]
    dilations = [pick(rng, 1, 1, 2) for _ in range(spatial)]
    idil = [pick(rng, 1, 1, 2, 3) for _ in range(spatial)]
    low = [int(rng.integers(-1, 4)) for _ in range(spatial)]
    high = [int(rng.integers(-1, 4)) for _ in range(spatial)]
    sizes = [int(rng.integers(1, 8)) for _ in range(spatial)]
    for d in range(spatial):  # the window fits
        while (sizes[d] - 1) * idil[d] + 1 + low[d] + high[d] < (window[d] - 1) * dilations[d] + 1:
            high[d] += 1
    x = case.random([n, *sizes, c])
    w = case.random([o, c // groups, *window])
    # The padded input, made as the description says: zeros between, then low and high.
    inner = torch.movedim(x, -1, 1)
    spread = torch.zeros(n, c, *[(s - 1) * i + 1 for s, i in zip(sizes, idil)], dtype=x.dtype)
    spread[(slice(None), slice(None), *[slice(None, None, i) for i in idil])] = inner
    padding = []
    for d in reversed(range(spatial)):
        padding += [low[d], high[d]]
    padded = F.pad(spread, padding)
    if n == 0:
        shape = [(p - (k - 1) * dl - 1) // s + 1 for p, k, dl, s in zip(padded.shape[2:], window, dilations, strides)]
        want = torch.zeros(0, *shape, o, dtype=x.dtype)
    else:
        fn = (F.conv1d, F.conv2d, F.conv3d)[spatial - 1]
        want = torch.movedim(fn(padded, w, stride=strides, dilation=dilations, groups=groups), 1, -1)
    result = tensor(want.shape)
    L = case.list_of
    return case, case.module(
        f"graph.conv %a0, %a1 strides {L(strides)} low {L(low)} high {L(high)} dilations {L(dilations)} "
        f"input_dilation {L(idil)} groups {groups} : {case.types[0]}, {case.types[1]} -> {result}", [result]), [want]


def conv_transpose(rng):
    """A transposed convolution, as an importer writes it: input dilated, filter flipped."""
    case = Case(rng)
    n, c, o, size_, k = 2, size(rng, 1), size(rng, 1), int(rng.integers(1, 6)), int(rng.integers(1, 5))
    stride, dilation = pick(rng, 1, 2, 3), pick(rng, 1, 2)
    pad = int(rng.integers(0, (k - 1) * dilation + 1))
    out_pad = int(rng.integers(0, max(stride, dilation)))
    if (size_ - 1) * stride - 2 * pad + (k - 1) * dilation + out_pad < 0:
        pad = 0  # else nothing is left
    x = case.random([n, size_, c])
    w = torch.from_numpy(rng.standard_normal([c, o, k]).astype(np.float32))  # torch's layout
    case.add(np.ascontiguousarray(w.flip(2).permute(1, 0, 2).numpy()), "f32")
    want = F.conv_transpose1d(x.permute(0, 2, 1), w.double(), stride=stride, padding=pad, output_padding=out_pad,
                              dilation=dilation).permute(0, 2, 1)
    low = (k - 1) * dilation - pad
    result = tensor(want.shape)
    return case, case.module(
        f"graph.conv %a0, %a1 strides [1] low [{low}] high [{low + out_pad}] dilations [{dilation}] "
        f"input_dilation [{stride}] groups 1 : {case.types[0]}, {case.types[1]} -> {result}", [result]), [want]


def attention(rng):
    case = Case(rng)
    b, g, s, t, d, e = size(rng), size(rng, 1), size(rng), size(rng, 1), size(rng, 1), size(rng, 1)
    h = g * pick(rng, 1, 2, 3)
    q, k, v = case.random([b, h, s, d]), case.random([b, g, t, d]), case.random([b, g, t, e])
    causal, kind, zero = bool(pick(rng, 0, 1)), pick(rng, "none", "bool", "float"), bool(pick(rng, 0, 1))
    scale = float(rng.uniform(0.1, 2))
    scores = scale * torch.einsum("bhsd,bhtd->bhst", q, k.repeat_interleave(h // g, 1))
    left = torch.ones(b, h, s, t, dtype=torch.bool)
    if causal:
        left &= torch.arange(t)[None, :] <= torch.arange(s)[:, None]
    attrs, operand, operand_type = [], "", ""
    if kind != "none":
        results = [pick(rng, f"d{i}", "0") for i in range(4)][pick(rng, 0, 1, 2):]
        first = 4 - len(results)
        shape = [(b, h, s, t)[first + i] if r != "0" else 1 for i, r in enumerate(results)]
        results = [f"d{first + i}" if r != "0" else "0" for i, r in enumerate(results)]
        if kind == "bool":
            mask = case.add(rng.integers(0, 2, shape).astype(bool), "i1")
            left &= mask
        else:
            mask = case.random(shape)
            scores = scores + mask
        attrs.append(f"mask_map = {affine(4, results)}")
        operand, operand_type = " mask %a3", f" mask {case.types[3]}"
    weights = torch.softmax(scores.masked_fill(~left, float("-inf")), -1)
    if zero:
        attrs.append("zero_masked_rows")
        weights = weights.masked_fill(~left.any(-1, keepdim=True), 0)
    want = weights @ v.repeat_interleave(h // g, 1)
    result = tensor(want.shape)
    return case, case.module(
        f"graph.attention %a0, %a1, %a2{operand} scale {scale!r}{' causal' if causal else ''} {{{', '.join(attrs)}}} : "
        f"{', '.join(case.types[:3])}{operand_type} -> {result}", [result]), [want]


def special(rng, value):
    """Puts NaN, infinities and repeats among floats."""
    if value.dtype.kind == "f" and pick(rng, 0, 1):
        value = np.round(value)
        value[rng.random(value.shape) < 0.1] = np.nan
        value[rng.random(value.shape) < 0.1] = np.inf
    return value


def line_op(rng):
    """reduce, cumulate, arg_reduce, sort"""
    case = Case(rng)
    rank = int(rng.integers(1, 5))
    shape = [size(rng) for _ in range(rank)]
    dtype = pick(rng, "f32", "i64", "i32")
    op = pick(rng, "reduce", "reduce", "cumulate", "arg_reduce", "sort")
    dim = int(rng.integers(rank))
    if op == "arg_reduce" and shape[dim] == 0:
        shape[dim] = 3
    value = rng.standard_normal(shape).astype(np.float32) if dtype == "f32" else rng.integers(-9, 9, shape).astype(DTYPES[dtype])
    value = special(rng, value)
    x = case.add(value, dtype)
    kind = pick(rng, "max", "min") if op == "arg_reduce" else pick(rng, "sum", "prod", "max", "min")
    if op == "reduce":
        dims = sorted(rng.choice(rank, int(rng.integers(0, rank + 1)), replace=False).tolist())
        want = x
        for d in reversed(dims):
            if kind == "sum":
                want = want.sum(d, dtype=x.dtype)
            elif kind == "prod":
                want = want.prod(d, dtype=x.dtype)
            elif want.shape[d] == 0:  # torch has no identity here
                info = torch.iinfo(x.dtype) if dtype != "f32" else None
                low, high = (info.min, info.max) if info else (-np.inf, np.inf)
                want = torch.full([s for i, s in enumerate(want.shape) if i != d], low if kind == "max" else high, dtype=x.dtype)
            else:
                want = want.amax(d) if kind == "max" else want.amin(d)
        result = tensor(want.shape, dtype)
        text = f"graph.reduce {kind} %a0 dims {case.list_of(dims)} : {case.types[0]} -> {result}"
    elif op == "cumulate":
        fn = {"sum": lambda: x.cumsum(dim, dtype=x.dtype), "prod": lambda: x.cumprod(dim, dtype=x.dtype),
              "max": lambda: x.cummax(dim).values, "min": lambda: x.cummin(dim).values}[kind]
        want, result = fn(), case.types[0]
        text = f"graph.cumulate {kind} %a0 dim {dim} : {case.types[0]}"
    elif op == "arg_reduce":
        want = (x.argmax if kind == "max" else x.argmin)(dim)
        # torch promises no order among equals; numpy gives the first, and the first NaN before all.
        want = torch.from_numpy(np.asarray((np.argmax if kind == "max" else np.argmin)(x.numpy(), axis=dim)))
        result = tensor(want.shape, "i64")
        text = f"graph.arg_reduce {kind} %a0 dim {dim} : {case.types[0]} -> {result}"
    else:
        descending = bool(pick(rng, 0, 1))
        values, indices = torch.sort(x, dim=dim, descending=descending, stable=True)
        types = [case.types[0], tensor(shape, "i64")]
        return case, case.module(
            f"graph.sort %a0 dim {dim}{' descending' if descending else ''} : {types[0]} -> {types[1]}", types), [values, indices]
    return case, case.module(text, [result]), [want]


def reduce_window(rng):
    case = Case(rng)
    n, c = size(rng, 1), size(rng, 1)
    k, s, dl, low = [[pick(rng, 1, 2, 3) for _ in range(2)] for _ in range(4)]
    low = [int(rng.integers(0, w // 2 + 1)) for w in k]
    hw = [int(rng.integers((w - 1) * d + 1, 12)) for w, d in zip(k, dl)]
    x = case.random([n, *hw, c])
    kind = pick(rng, "max", "sum", "min")
    inner = torch.movedim(x, -1, 1)
    if kind == "sum":
        dl = [1, 1]
        want = F.avg_pool2d(inner, k, s, low, divisor_override=1)
    else:
        sign = 1 if kind == "max" else -1
        want = sign * F.max_pool2d(sign * inner, k, s, low, dl)
    want = torch.movedim(want, 1, -1)
    result = tensor(want.shape)
    return case, case.module(
        f"graph.reduce_window {kind} %a0 window [1, {k[0]}, {k[1]}, 1] strides [1, {s[0]}, {s[1]}, 1] "
        f"low [0, {low[0]}, {low[1]}, 0] dilations [1, {dl[0]}, {dl[1]}, 1] : {case.types[0]} -> {result}", [result]), [want]


def gather_scatter(rng):
    case = Case(rng)
    rank = int(rng.integers(1, 4))
    shape = [size(rng, 1) for _ in range(rank)]
    dim = int(rng.integers(rank))
    points = [int(rng.integers(0, s + 1)) for s in shape]
    points[dim] = size(rng)
    x = case.random(shape)
    maps = affine(rank, [f"d{i}" for i in range(rank)])
    coords = case.list_of([-1 if d == dim else d for d in range(rank)])
    scatter = pick(rng, None, "set", "sum", "prod", "max", "min")
    index = case.random(points, pick(rng, "i64", "i32"), 0, shape[dim]).long()
    if scatter is None:
        want = torch.gather(x, dim, index)
        result = tensor(points)
        text = f"graph.gather %a0 at (%a1) maps [{maps}] coords {coords} : {case.types[0]} at ({case.types[1]}) -> {result}"
        return case, case.module(text, [result]), [want]
    updates = case.random(points)
    if scatter == "set":
        want = x.clone()
        for at in np.ndindex(*points):  # the last one wins
            to = list(at)
            to[dim] = int(index[at])
            want[tuple(to)] = updates[at]
    else:
        how = {"sum": "sum", "prod": "prod", "max": "amax", "min": "amin"}[scatter]
        want = x.scatter_reduce(dim, index, updates, how)
    text = (f"graph.scatter {scatter} %a2 into %a0 at (%a1) maps [{maps}] coords {coords} : {case.types[2]} into "
            f"{case.types[0]} at ({case.types[1]})")
    return case, case.module(text, [case.types[0]]), [want]


FAMILIES = [contract, conv, conv_transpose, attention, line_op, reduce_window, gather_scatter]


def run(tool, folder, case, module, want):
    path = os.path.join(folder, "case.mlir")
    with open(path, "w") as f:
        f.write(module)
    command = [tool, path]
    for i, value in enumerate(case.inputs):
        name = os.path.join(folder, f"in{i}.npy")
        # Now and then in Fortran order, which the reader must turn.
        np.save(name, np.asfortranarray(value) if i % 2 and value.ndim else value)
        command.append(f"--input=@{name}")
    names = [os.path.join(folder, f"out{i}.npy") for i in range(len(want))]
    command += [f"--output=@{n}" for n in names]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        return done.stderr
    for i, (name, w) in enumerate(zip(names, want)):
        have, need = np.load(name), w.numpy()
        if have.shape != need.shape:
            return f"result {i} has shape {have.shape}, torch {need.shape}"
        if need.dtype.kind == "f":
            need = need.astype(have.dtype)
            # f64 sums in another order differ far below f32; only cancellation leaves more than the last bit.
            magnitude = 1 + np.nanmax(np.abs(np.where(np.isfinite(need), need, 0)), initial=0)
            if not np.allclose(have, need, rtol=2e-7, atol=1e-12 * magnitude, equal_nan=True):
                return f"result {i}:\n{have}\nbut torch gives\n{need}"
        elif not np.array_equal(have, need.astype(have.dtype)):
            return f"result {i}:\n{have}\nbut torch gives\n{need}"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", default="tenon-interp")
    parser.add_argument("--cases", type=int, default=60, help="cases for each family")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="one family")
    args = parser.parse_args()
    failures = total = 0
    with tempfile.TemporaryDirectory() as folder:
        for family in FAMILIES:
            if args.only and family.__name__ != args.only:
                continue
            for i in range(args.cases):
                rng = np.random.default_rng([args.seed, FAMILIES.index(family), i])
                case, module, want = family(rng)
                error = run(args.tool, folder, case, module, want)
                total += 1
                if error:
                    failures += 1
                    print(f"{family.__name__} case {i} of seed {args.seed} fails\n{module}{error}\n", file=sys.stderr)
                    if failures > 5:
                        return 1
    print(f"{total} cases, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
