"""Attention kernels against the plain formula of torch in f64, on fixed and random shapes. Needs torch; see kernels.py.

attention_numeric.py [--seed N] [--count N] [--level x86-64-v3] [--bench]
"""
import argparse
import math
import random
import time

import numpy as np

from kernels import Library

try:
    import torch
except ImportError:
    raise SystemExit("skipped: torch is not installed")

ELEMENTS = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16, "f64": torch.float64}


class Shape:
    """Sizes of a case and how its kernel is written."""

    def __init__(self, b, h, s, d, t=None, g=None, e=None, mask=None, causal=False, zero=False, element="f32",
                 symbolic="", packed=True, epilogue="", hide=0.0):
        self.b, self.h, self.s, self.d = b, h, s, d
        self.t, self.g, self.e = s if t is None else t, g or h, e or d
        self.mask, self.causal, self.zero, self.element = mask, causal, zero, element
        self.symbolic, self.packed, self.epilogue, self.hide = symbolic, packed, epilogue, hide

    def __str__(self):
        return " ".join(f"{k}={v}" for k, v in vars(self).items())


class Case:
    """The text of one kernel, its inputs and what torch makes of them."""

    def __init__(self, shape, name, seed):
        self.shape, self.name = shape, name
        self.symbols = [getattr(shape, c) for c in shape.symbolic]
        # Equal sizes of different letters stay different symbols: only t may be s.
        self.generator = torch.Generator().manual_seed(seed)
        self.text = self.write()

    def size(self, letter):
        place = self.shape.symbolic.find(letter)
        return f"s{place}" if place >= 0 else str(getattr(self.shape, letter))

    def type(self, sizes, element=None):
        element = element or self.shape.element
        if all(s.isdigit() for s in sizes):
            return f"tensor<{'x'.join(sizes)}x{element}>"
        plain = "x".join(s if s.isdigit() else "?" for s in sizes)
        return f"tensor<{plain}x{element}, #graph.dims<[{', '.join(sizes)}]>>"

    def write(self):
        s, lines, args = self.shape, [], []
        b, h, q, d, t, g, e = (self.size(c) for c in "bhsdtge")
        if s.packed and not all(x.isdigit() for x in (h, g, d, e)):
            raise ValueError("packed cases need fixed heads")

        def operand(name, heads, length, depth):
            if not s.packed:
                args.append(f"%{name}: {self.type([b, heads, length, depth])}")
                return f"%{name}", self.type([b, heads, length, depth])
            flat = self.type([b, length, str(int(heads) * int(depth))])
            split, last = self.type([b, length, heads, depth]), self.type([b, heads, length, depth])
            args.append(f"%{name}: {flat}")
            lines.append(f"  %{name}1 = graph.reshape %{name} : {flat} -> {split}")
            lines.append(f"  %{name}2 = graph.permute %{name}1 order [0, 2, 1, 3] : {split}")
            return f"%{name}2", last

        (qv, qt), (kv, kt), (vv, vt) = operand("q", h, q, d), operand("k", g, t, d), operand("v", g, t, e)
        result = self.type([b, h, q, e])
        mask, mask_type, attributes = "", "", []
        if s.mask:
            kind, form = s.mask
            sizes, map_ = {"11": ([b, "1", "1", t], "(b, h, s, t) -> (b, 0, 0, t)"),
                           "s": ([b, "1", q, t], "(b, h, s, t) -> (b, 0, s, t)"),
                           "hs": ([b, h, q, t], "(b, h, s, t) -> (b, h, s, t)"),
                           "st": ([q, t], "(b, h, s, t) -> (s, t)"),
                           "col": ([q], "(b, h, s, t) -> (s)")}[form]
            element = "i1" if kind == "bool" else s.element
            mask_type = self.type(sizes, element)
            self.mask_sizes = [int(x) if x.isdigit() else self.symbols[int(x[1:])] for x in sizes]
            args.append(f"%m: {mask_type}")
            mask, mask_type = " mask %m", f" mask {mask_type}"
            attributes.append(f"mask_map = affine_map<{map_}>")
        if s.zero:
            attributes.append("zero_masked_rows")
        attributes = f" {{{', '.join(attributes)}}}" if attributes else ""
        lines.append(f"  %r = graph.attention {qv}, {kv}, {vv}{mask} scale {1 / math.sqrt(s.d):.17e}"
                     f"{' causal' if s.causal else ''}{attributes} : {qt}, {kt}, {vt}{mask_type} -> {result}")
        value, final = "%r", result
        if s.packed:
            split, final = self.type([b, q, h, e]), self.type([b, q, str(int(h) * int(e))])
            lines.append(f"  %r1 = graph.permute %r order [0, 2, 1, 3] : {result}")
            lines.append(f"  %r2 = graph.reshape %r1 : {split} -> {final}")
            value = "%r2"
        if s.epilogue:
            args.append(f"%x: {final}")
            rank = 3 if s.packed else 4
            dims = ", ".join(f"d{i}" for i in range(rank))
            same = f"affine_map<({dims}) -> ({dims})>"
            lines.append(f"  %y = graph.map ins({value}, %x : {final}, {final}) maps [{same}, {same}] -> {final} {{\n"
                         f"  ^bb0(%a: {s.element}, %c: {s.element}):\n    %z = arith.addf %a, %c : {s.element}\n"
                         f"    graph.yield %z : {s.element}\n  }}")
            value = "%y"
        body = "\n".join(lines)
        return f"kernel.func @{self.name}({', '.join(args)}) -> {final} {{\n{body}\n  kernel.return {value} : {final}\n}}"

    def random(self, *sizes):
        return torch.randn(*sizes, generator=self.generator, dtype=torch.float64).to(ELEMENTS[self.shape.element])

    def inputs(self):
        s = self.shape
        q, k, v = ((self.random(s.b, n, h * d) if s.packed else self.random(s.b, h, n, d))
                   for h, n, d in ((s.h, s.s, s.d), (s.g, s.t, s.d), (s.g, s.t, s.e)))
        self.tensors = [q, k, v]
        self.mask = None
        if s.mask:
            kind = s.mask[0]
            if kind == "bool":
                self.mask = torch.rand(*self.mask_sizes, generator=self.generator) < 0.6
                if s.hide:
                    self.mask &= torch.rand(*self.mask_sizes[:-1], 1, generator=self.generator) >= s.hide
            else:
                self.mask = self.random(*self.mask_sizes)
                if s.hide:
                    self.mask[torch.rand(*self.mask_sizes, generator=self.generator) < 0.3] = -math.inf
                    self.mask[torch.rand(*self.mask_sizes[:-1], generator=self.generator) < s.hide] = -math.inf
            self.tensors.append(self.mask)
        if s.epilogue:
            self.tensors.append(self.random(s.b, s.s, s.h * s.e) if s.packed else self.random(s.b, s.h, s.s, s.e))
        return self.tensors

    def heads(self, x, heads):
        return x.view(x.shape[0], x.shape[1], heads, x.shape[2] // heads).transpose(1, 2) if self.shape.packed else x

    def expected(self):
        s = self.shape
        q, k, v = (self.heads(x.double(), h) for x, h in zip(self.tensors, (s.h, s.g, s.g)))
        k, v = (x.repeat_interleave(s.h // s.g, 1) for x in (k, v))
        score = q @ k.transpose(-1, -2) * (1 / math.sqrt(s.d))
        if s.mask:
            mask = self.mask
            if s.mask[1] == "col":
                mask = mask[:, None].expand(s.s, s.t)
            score = score.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else score + mask.double()
        if s.causal:
            score = score.masked_fill(torch.ones(s.s, s.t, dtype=torch.bool).triu(1), -math.inf)
        weight = score.softmax(-1)
        if s.zero:
            weight = weight.masked_fill((score == -math.inf).all(-1, keepdim=True), 0)
        r = weight @ v
        if s.packed:
            r = r.transpose(1, 2).reshape(s.b, s.s, s.h * s.e)
        return r + self.tensors[-1].double() if s.epilogue else r


def to_numpy(x):
    x = x.contiguous()
    return x.view(torch.uint8).numpy() if x.dtype == torch.bool else x.view(torch.int16).numpy() if x.element_size() == 2 else x.numpy()


def check(library, case):
    s = case.shape
    inputs, want = case.inputs(), case.expected()
    out = torch.full(want.shape, 77.0, dtype=ELEMENTS[s.element])
    status = library.call(case.name, [to_numpy(x) for x in inputs], [to_numpy(out)], case.symbols)
    assert status == 0, f"{case.shape}: status {status}"
    bound = {"f32": 2e-5, "f64": 1e-11, "f16": 4e-3, "bf16": 3e-2}[s.element]
    got = out.double()
    nan_got, nan_want = got.isnan(), want.isnan()
    if not torch.equal(nan_got, nan_want):
        raise AssertionError(f"NaN in other places ({nan_got.sum()} for {nan_want.sum()}): {s}")
    error = (got - want).nan_to_num().abs().max().item() if got.numel() else 0
    assert error <= bound * (1 + want.nan_to_num().abs().max().item() if got.numel() else 1), f"off by {error}: {s}"
    return error


FIXED = [
    Shape(1, 2, 1, 64, t=128), Shape(2, 8, 1, 64, t=77, g=2), Shape(1, 16, 1, 128, t=1000, g=1), Shape(1, 4, 1, 16, t=5, packed=False),
    Shape(1, 4, 7, 64), Shape(1, 6, 197, 64), Shape(2, 3, 128, 64, causal=True), Shape(1, 2, 300, 32, causal=True),
    Shape(1, 2, 600, 64, causal=True, symbolic="st"), Shape(1, 1, 1100, 40, causal=True), Shape(1, 2, 33, 20, e=12),
    Shape(2, 2, 50, 64, mask=("bool", "11")), Shape(2, 2, 50, 64, mask=("float", "11")),
    Shape(2, 2, 50, 64, mask=("bool", "s"), hide=0.2), Shape(2, 2, 50, 64, mask=("float", "s"), hide=0.2),
    Shape(2, 2, 50, 64, t=530, mask=("bool", "hs"), hide=0.3, zero=True), Shape(2, 2, 50, 64, t=1030, mask=("float", "hs"), hide=0.3),
    Shape(1, 4, 1, 64, t=700, g=2, mask=("bool", "hs"), hide=0.3), Shape(1, 4, 1, 64, t=70, g=4, mask=("bool", "hs"), zero=True),
    Shape(1, 4, 10, 64, t=70, g=2, mask=("float", "col")), Shape(1, 4, 49, 64, t=49, mask=("bool", "st"), causal=True),
    Shape(2, 4, 9, 32, t=0, symbolic="bst"), Shape(2, 4, 0, 32, t=9, symbolic="bst"), Shape(3, 4, 100, 32, symbolic="bst", mask=("bool", "s")),
    Shape(3, 4, 1, 32, t=400, g=2, symbolic="bst", mask=("bool", "11")), Shape(2, 3, 20, 17, e=9, packed=False, symbolic="bsdt"),
    Shape(2, 3, 20, 17, e=9, t=30, packed=False, symbolic="de"), Shape(1, 2, 100, 64, element="f16"), Shape(1, 2, 100, 64, element="bf16", causal=True),
    Shape(1, 2, 40, 24, element="f64"), Shape(1, 2, 40, 24, element="f16", mask=("float", "s")), Shape(2, 4, 61, 64, epilogue="add"),
    Shape(2, 4, 61, 64, t=900, epilogue="add", symbolic="bst"), Shape(1, 2, 5, 8, t=3, packed=False, epilogue="add"),
]


def random_shape(rng):
    g = rng.choice([1, 2, 3])
    h = g * rng.choice([1, 1, 2, 4])
    s = rng.choice([1, 1, 2, 7, 13, 48, 49, 64, 95, 128, 197, rng.randint(1, 300)])
    t = rng.choice([s, s, 1, 5, 47, 96, 130, 389, rng.randint(1, 900)])
    d = rng.choice([8, 16, 20, 32, 40, 64, 80, 128, rng.randint(1, 70)])
    mask = rng.choice([None, None, ("bool", "11"), ("float", "11"), ("bool", "s"), ("float", "s"), ("bool", "hs"), ("float", "hs"), ("bool", "st")])
    packed = rng.random() < 0.6
    symbolic = "".join(c for c in ("bst" if packed else "bstde") if rng.random() < 0.3)
    return Shape(rng.choice([1, 2, 3]), h, s, d, t=t, g=g, e=rng.choice([d, d, d, rng.randint(1, 70)]), mask=mask,
                 causal=rng.random() < 0.3, zero=rng.random() < 0.3, symbolic=symbolic, packed=packed,
                 epilogue=rng.choice(["", "add"]), hide=rng.choice([0, 0.2]),
                 element=rng.choice(["f32", "f32", "f32", "f16", "bf16"]))


def check_batch_invariance(level):
    """The bits of a row are the same at every batch size and for every number of other rows."""
    shape = Shape(8, 4, 60, 32, t=500, symbolic="bs", mask=("bool", "11"))
    case = Case(shape, "rows", 5)
    library = Library(case.text, level)
    inputs, last = case.inputs(), None
    for b, s in ((8, 60), (3, 60), (1, 60), (1, 17), (1, 1)):
        part = [inputs[0][:b, :s], inputs[1][:b], inputs[2][:b], inputs[3][:b]]
        out = torch.zeros(b, s, 4 * 32)
        library.call("rows", [to_numpy(x) for x in part], [to_numpy(out)], [b, s])
        assert last is None or torch.equal(out[0, 0], last), f"row 0 differs at batch {b}, {s} queries"
        last = out[0, 0]


def bench(level):
    torch.set_num_threads(1)
    shapes = [Shape(1, 12, 128, 64), Shape(1, 12, 128, 64, packed=False), Shape(1, 12, 128, 64, symbolic="bst"),
              Shape(1, 12, 128, 64, mask=("bool", "11")), Shape(1, 12, 128, 64, mask=("bool", "s")), Shape(1, 6, 197, 64),
              Shape(1, 12, 1024, 64), Shape(1, 12, 1024, 64, packed=False), Shape(1, 12, 1024, 64, causal=True),
              Shape(1, 12, 512, 64), Shape(1, 32, 1, 64, t=1024, g=4), Shape(1, 32, 1, 64, t=1024, g=4, symbolic="st"),
              Shape(1, 12, 1, 64, t=1024), Shape(1, 8, 256, 128, g=2, causal=True)]
    for shape in shapes:
        case = Case(shape, "k", 1)
        library = Library(case.text, level)
        inputs = case.inputs()
        out = torch.zeros_like(case.expected(), dtype=torch.float32)
        ours = library.prepare("k", [to_numpy(x) for x in inputs], [to_numpy(out)], case.symbols).raw
        q, k, v = (case.heads(x, h) for x, h in zip(inputs, (shape.h, shape.g, shape.g)))
        theirs = lambda: torch.nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=case.mask, is_causal=shape.causal, enable_gqa=shape.g != shape.h)
        best = [math.inf, math.inf]
        for turn in range(12 if shape.s >= 1000 else 40):
            for i, f in enumerate((ours, theirs)):
                f()
                start = time.process_time()  # one thread: not counting what others take
                for _ in range(1 if shape.s >= 500 else 5):
                    f()
                best[i] = min(best[i], (time.process_time() - start) / (1 if shape.s >= 500 else 5))
        flops = 2 * shape.b * shape.h * shape.s * shape.t * (shape.d + shape.e) * (0.5 if shape.causal else 1)
        print(f"{best[1] / best[0]:5.2f}x  {best[0] * 1e6:9.1f} us, torch {best[1] * 1e6:9.1f} us, {flops / best[0] / 1e9:5.1f} GF/s  {shape}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--level", default="x86-64-v3")
    parser.add_argument("--bench", action="store_true")
    options = parser.parse_args()
    if options.bench:
        return bench(options.level)
    rng = random.Random(options.seed)
    shapes = FIXED + [random_shape(rng) for _ in range(options.count)]
    worst, failures = 0, 0
    for start in range(0, len(shapes), 8):
        cases = [Case(s, f"k{start + i}", options.seed * 1000 + start + i) for i, s in enumerate(shapes[start:start + 8])]
        library = Library("\n".join(c.text for c in cases), options.level)
        for case in cases:
            try:
                worst = max(worst, check(library, case))
            except AssertionError as error:
                failures += 1
                print(error, flush=True)
    check_batch_invariance(options.level)
    print(f"{len(shapes)} shapes, {failures} failures, seed {options.seed}")
    raise SystemExit(failures > 0)


if __name__ == "__main__":
    main()
