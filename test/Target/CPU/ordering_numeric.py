"""arg_reduce, cumulate, sort and scatter kernels against numpy and torch on seeded shapes. Needs torch; see kernels.py.

ordering_numeric.py [--seed N] [--level x86-64-v3] [--bench]
"""
import argparse
import ctypes
import itertools
import random
import time

import numpy as np

from kernels import Library

try:
    import torch
except ImportError:
    raise SystemExit("skipped: torch is not installed")

DTYPES = {"f32": torch.float32, "f64": torch.float64, "f16": torch.float16, "bf16": torch.bfloat16, "i64": torch.int64,
          "i32": torch.int32, "i8": torch.int8}


def tensor_type(sizes, element, symbolic=()):
    names = [f"s{symbolic.index(i)}" if i in symbolic else str(s) for i, s in enumerate(sizes)]
    if not symbolic:
        return f"tensor<{''.join(n + 'x' for n in names)}{element}>"
    plain = "".join("?x" if n[0] == "s" else n + "x" for n in names)
    return f"tensor<{plain}{element}, #graph.dims<[{', '.join(names)}]>>"


def without(sizes, dim, symbolic):
    """Sizes and symbolic places of a shape that lost `dim`, with the symbols' numbers kept."""
    names = [f"s{symbolic.index(i)}" if i in symbolic else str(s) for i, s in enumerate(sizes)]
    del names[dim]
    return names


def named_type(names, element):
    if all(n[0] != "s" for n in names):
        return f"tensor<{''.join(n + 'x' for n in names)}{element}>"
    return f"tensor<{''.join(('?' if n[0] == 's' else n) + 'x' for n in names)}{element}, #graph.dims<[{', '.join(names)}]>>"


def data(shape, element, generator, special=True):
    """Few distinct values, so that there are equals; NaN, infinities and both zeros among floats."""
    dtype = DTYPES[element]
    x = torch.randint(-4, 5, shape, generator=generator)
    if not dtype.is_floating_point:
        return x.to(dtype)
    x = x.to(torch.float32)
    if special and x.numel():
        pick = torch.rand(shape, generator=generator)
        x[pick < 0.04] = float("nan")
        x[(pick > 0.05) & (pick < 0.08)] = float("inf")
        x[(pick > 0.08) & (pick < 0.11)] = float("-inf")
        x[(pick > 0.11) & (pick < 0.16)] = -0.0
    return x.to(dtype)


def raw(x):
    x = x.contiguous()
    return x.view(torch.int16).numpy() if x.element_size() == 2 else x.numpy()


def same_bits(a, b):
    return torch.equal(torch.nan_to_num(a.double(), 12345.0), torch.nan_to_num(b.double(), 12345.0)) and torch.equal(a.isnan(), b.isnan())


def along_dimension(rng, generator, level):
    """arg_reduce, cumulate and sort on the same shapes."""
    shapes = [((5,), 0), ((1,), 0), ((37,), 0), ((3, 5), 1), ((4, 8), 0), ((7, 100), 1), ((7, 100), 0), ((2, 33, 19), 1),
              ((2, 3, 1, 4), 2), ((3, 1), 0), ((16, 9, 1), 1), ((2, 257), 1), ((1, 3, 1000), 2), ((2, 5, 64), 1)]
    shapes += [(tuple(rng.randint(1, 40) for _ in range(3)), rng.randint(0, 2)) for _ in range(6)]
    jobs, text = [], []
    for n, (shape, dim) in enumerate(shapes):
        element = rng.choice(list(DTYPES))
        symbolic = tuple(i for i in range(len(shape)) if shape[i] > 1 and rng.random() < 0.4)
        t, i64 = tensor_type(shape, element, symbolic), tensor_type(shape, "i64", symbolic)
        short = without(shape, dim, symbolic)
        kind = rng.choice(["max", "min"])
        view = len(shape) == 3 and rng.random() < 0.5  # the argument is a permuted view
        source, prelude = t, ""
        if view:
            order = [2, 0, 1]
            names = without(list(shape) + [1], 3, symbolic)
            source = named_type([names[order.index(i)] for i in range(3)], element)
            prelude = f"  %x = graph.permute %y order {order} : {source}\n"
        argument = "%y" if view else "%x"
        text.append(f"kernel.func @arg{n}({argument}: {source}) -> {named_type(short, 'i64')} {{\n{prelude}"
                    f"  %r = graph.arg_reduce {kind} %x dim {dim} : {t} -> {named_type(short, 'i64')}\n"
                    f"  kernel.return %r : {named_type(short, 'i64')}\n}}")
        scan = rng.choice(["sum", "prod", "max", "min"])
        text.append(f"kernel.func @cum{n}({argument}: {source}) -> {t} {{\n{prelude}"
                    f"  %r = graph.cumulate {scan} %x dim {dim} : {t}\n  kernel.return %r : {t}\n}}")
        down = rng.random() < 0.5
        text.append(f"kernel.func @sort{n}({argument}: {source}) -> ({t}, {i64}) {{\n{prelude}"
                    f"  %v, %i = graph.sort %x dim {dim}{' descending' if down else ''} : {t} -> {i64}\n"
                    f"  kernel.return %v, %i : {t}, {i64}\n}}")
        jobs.append((n, shape, dim, element, symbolic, kind, scan, down, view))
    library = Library("\n".join(text), level)
    for n, shape, dim, element, symbolic, kind, scan, down, view in jobs:
        what = f"shape {shape} dim {dim} {element} {kind} {scan} descending={down} symbolic={symbolic} view={view}"
        x = data(shape, element, generator)
        given = x.permute([[2, 0, 1].index(i) for i in range(3)]).contiguous() if view else x
        assert not view or torch.equal(given.permute([2, 0, 1]).nan_to_num(9), x.nan_to_num(9))
        sizes = [shape[i] for i in symbolic]
        # argmax: the first of equals, a NaN before all.
        key = x.double().nan_to_num(1e300, 1e200, -1e200) if x.is_floating_point() else x
        if kind == "min" and x.is_floating_point():
            key = torch.where(x.isnan(), -1e300, x.double().nan_to_num(0, 1e200, -1e200))
        best = key.numpy().argmax(dim) if kind == "max" else key.numpy().argmin(dim)
        got = np.full(best.shape, -7, np.int64)
        library.call(f"arg{n}", [raw(given)], [got], sizes)
        assert (got == best).all(), f"arg_reduce: {what}"
        # Running combinations, in f64 but for the order.
        if scan in ("sum", "prod") and x.is_floating_point():
            x = data(shape, element, generator, special=False)
            x = x / 4 if scan == "prod" else x
            given = x.permute([[2, 0, 1].index(i) for i in range(3)]).contiguous() if view else x
        wide = x.double() if x.is_floating_point() else x.long()
        want = {"sum": lambda: wide.cumsum(dim), "prod": lambda: wide.cumprod(dim), "max": lambda: wide.cummax(dim).values,
                "min": lambda: wide.cummin(dim).values}[scan]().to(x.dtype)
        out = torch.zeros_like(x)
        library.call(f"cum{n}", [raw(given)], [raw(out)], sizes)
        close = same_bits(out, want) or torch.allclose(out.double(), want.double(), rtol=1e-3 if x.element_size() == 2 else 1e-5, equal_nan=True)
        assert close, f"cumulate: {what}"
        x = data(shape, element, generator)
        given = x.permute([[2, 0, 1].index(i) for i in range(3)]).contiguous() if view else x
        values, order = x.sort(dim=dim, descending=down, stable=True)
        out, places = torch.zeros_like(x), torch.zeros(shape, dtype=torch.int64)
        library.call(f"sort{n}", [raw(given)], [raw(out), raw(places)], sizes)
        assert torch.equal(places, order) and same_bits(out, values), f"sort: {what}"
    return 3 * len(jobs)


# Name, shapes of updates, dest and indices, maps, coordinates.
SCATTERS = [
    ("rows", (5, 24), (20, 24), [(5,)], ["(d0, d1) -> (d0)"], [-1, 1]),
    ("odd_rows", (7, 2, 13), (20, 13), [(7, 2)], ["(d0, d1, d2) -> (d0, d1)"], [-1, 2]),
    ("cache", (2, 3, 1, 32), (2, 3, 40, 32), [(1,)], ["(d0, d1, d2, d3) -> (d2)"], [0, 1, -1, 3]),
    ("cache_scalar", (2, 3, 1, 32), (2, 3, 40, 32), [()], ["(d0, d1, d2, d3) -> ()"], [0, 1, -1, 3]),
    ("along_inner", (6, 9), (6, 17), [(6, 9)], ["(d0, d1) -> (d0, d1)"], [0, -1]),
    ("along_outer", (6, 9), (17, 9), [(6, 9)], ["(d0, d1) -> (d0, d1)"], [-1, 1]),
    ("pairs", (11,), (6, 7), [(11,), (11,)], ["(d0) -> (d0)", "(d0) -> (d0)"], [-1, -2]),
    ("flat", (50,), (9,), [(50,)], ["(d0) -> (d0)"], [-1]),
    ("part", (4, 5), (9, 12), [(4,)], ["(d0, d1) -> (d0)"], [-1, 1]),
    ("wide", (3, 1100), (5, 1100), [(3,)], ["(d0, d1) -> (d0)"], [-1, 1]),
    ("mixed", (3, 4, 10), (10, 8, 4), [(3,)], ["(d0, d1, d2) -> (d0)"], [2, -1, 1]),
]


def scatter_reference(updates, dest, indices, maps, coords, kind):
    out = dest.clone()
    for point in itertools.product(*[range(s) for s in updates.shape]):
        at = []
        for coord in coords:
            if coord >= 0:
                at.append(point[coord])
                continue
            inside = maps[-coord - 1].split("-> (")[1].rstrip(")")
            place = tuple(point[int(d.strip()[1:])] for d in inside.split(",") if d.strip())
            at.append(int(indices[-coord - 1][place]))
        at = tuple(at)
        new, old = updates[point], out[at]
        out[at] = {"set": lambda: new, "sum": lambda: old + new, "prod": lambda: old * new,
                   "max": lambda: torch.maximum(old, new), "min": lambda: torch.minimum(old, new)}[kind]()
    return out


class Runtime:
    """A frame whose `fail` records sites, as generated code sees it."""

    def __init__(self):
        self.failures = []
        kind = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int64, ctypes.c_int64)
        self.fail = kind(lambda frame, site, a, b: (self.failures.append((site, a, b)), site + 1)[1])
        self.table = (ctypes.c_uint64 * 3)(24, 0, ctypes.cast(self.fail, ctypes.c_void_p).value)
        self.frame = (ctypes.c_uint64 * 8)(64, ctypes.addressof(self.table))

    def address(self):
        return ctypes.addressof(self.frame)


def scatters(rng, generator, level):
    count = 0
    text, jobs = [], []
    for name, up, dest, index_shapes, maps, coords in SCATTERS:
        for kind in ("set", "sum", rng.choice(["prod", "max", "min"])):
            element = rng.choice(["f32", "f32", "i64", "f64", "f16"])
            index_element = rng.choice(["i64", "i32"])
            label = f"{name}_{kind}"
            u, d = tensor_type(up, element), tensor_type(dest, element)
            types = [tensor_type(s, index_element) for s in index_shapes]
            args = "".join(f", %i{k}: {t}" for k, t in enumerate(types))
            text.append(f"kernel.func @{label}(%u: {u}, %d: {d} {{kernel.may_alias = 0 : i64}}{args}) -> {d} "
                        f"attributes {{sites = [\"index\"], symbol_count = 0 : i64}} {{\n"
                        f"  %r = graph.scatter {kind} %u into %d at ({', '.join(f'%i{k}' for k in range(len(types)))}) "
                        f"maps [{', '.join(f'affine_map<{m}>' for m in maps)}] coords {coords} {{site = 0 : i64}} : {u} into {d} "
                        f"at ({', '.join(types)})\n  kernel.return %r : {d}\n}}")
            jobs.append((label, up, dest, index_shapes, maps, coords, kind, element, index_element))
    library = Library("\n".join(text), level)
    for label, up, dest, index_shapes, maps, coords, kind, element, index_element in jobs:
        runtime = Runtime()
        u, d = data(up, element, generator, False), data(dest, element, generator, False)
        sizes = [dest[coords.index(-k - 1)] for k in range(len(index_shapes))]
        indices = [torch.randint(0, n, s, generator=generator).to(DTYPES[index_element]) for n, s in zip(sizes, index_shapes)]
        want = scatter_reference(u, d, indices, maps, coords, kind)
        out = torch.full_like(d, 9)
        inputs = [raw(u), raw(d), *map(raw, indices)]
        assert library.call(label, inputs, [raw(out)], extra=[3], frame=runtime.address()) == 0
        assert torch.equal(out, want), f"scatter: {label} {element}"
        assert torch.equal(torch.from_numpy(inputs[1].copy()), torch.from_numpy(raw(d))), "dest was written"
        inputs[1] = raw(d.clone())
        assert library.call(label, inputs, [inputs[1]], extra=[3], frame=runtime.address()) == 0
        assert (inputs[1] == raw(want)).all(), f"scatter in place: {label} {element}"
        # An index outside is reported and nothing is written for it.
        if indices[0].numel():
            bad = indices[0].clone()
            bad.view(-1)[-1] = sizes[0] if rng.random() < 0.5 else -1
            inputs = [raw(u), raw(d), raw(bad), *map(raw, indices[1:])]
            assert library.call(label, inputs, [raw(out)], extra=[3], frame=runtime.address()) == 4, label
            assert runtime.failures and runtime.failures[0][:2] == (3, sizes[0]), f"{label}: {runtime.failures}"
        count += 1
    return count


def bench(level):
    torch.set_num_threads(1)
    cases = [("sort 1x32000 f32", "f32", (1, 32000), "%v, %i = graph.sort %x dim 1 descending : {t} -> {i}", "({t}, {i})", "%v, %i : {t}, {i}",
              lambda x: x.sort(dim=1, descending=True, stable=True), 2),
             ("sort 1000x16 f32", "f32", (1000, 16), "%v, %i = graph.sort %x dim 1 : {t} -> {i}", "({t}, {i})", "%v, %i : {t}, {i}",
              lambda x: x.sort(dim=1, stable=True), 2),
             ("argmax 8x32000 inner", "f32", (8, 32000), "%i = graph.arg_reduce max %x dim 1 : {t} -> tensor<8xi64>", "tensor<8xi64>", "%i : tensor<8xi64>",
              lambda x: x.argmax(1), 1),
             ("argmax 1000x512 outer", "f32", (1000, 512), "%i = graph.arg_reduce max %x dim 0 : {t} -> tensor<512xi64>", "tensor<512xi64>", "%i : tensor<512xi64>",
              lambda x: x.argmax(0), 0),
             ("cumsum 128x1000 inner", "f32", (128, 1000), "%v = graph.cumulate sum %x dim 1 : {t}", "{t}", "%v : {t}", lambda x: x.cumsum(1), 1),
             ("cumsum 128x1000 outer", "f32", (128, 1000), "%v = graph.cumulate sum %x dim 0 : {t}", "{t}", "%v : {t}", lambda x: x.cumsum(0), 1)]
    for name, element, shape, op, results, returned, theirs, _ in cases:
        t, i = tensor_type(shape, element), tensor_type(shape, "i64")
        fill = lambda s: s.replace("{t}", t).replace("{i}", i)
        library = Library(f"kernel.func @k(%x: {t}) -> {fill(results)} {{\n  {fill(op)}\n  kernel.return {fill(returned)}\n}}", level)
        x = torch.randn(*shape)
        outs = [np.zeros(shape, np.float32), np.zeros(shape, np.int64)]
        if "argmax" in name:
            outs = outs[1:]
        elif "cumsum" in name:
            outs = outs[:1]
        ours = library.prepare("k", [raw(x)], outs).raw
        best = [1e9, 1e9]
        for _ in range(30):
            for n, f in enumerate((ours, lambda: theirs(x))):
                start = time.perf_counter()
                f()
                best[n] = min(best[n], time.perf_counter() - start)
        print(f"{best[1] / best[0]:5.2f}x {best[0] * 1e6:9.1f} us, torch {best[1] * 1e6:9.1f} us  {name}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--level", default="x86-64-v3")
    parser.add_argument("--bench", action="store_true")
    options = parser.parse_args()
    if options.bench:
        return bench(options.level)
    rng, generator = random.Random(options.seed), torch.Generator().manual_seed(options.seed)
    count = along_dimension(rng, generator, options.level) + scatters(rng, generator, options.level)
    print(f"{count} kernels agree, seed {options.seed}")


if __name__ == "__main__":
    main()
