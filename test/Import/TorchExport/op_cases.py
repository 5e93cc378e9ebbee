"""Small modules, one or more per converter: cases() yields (name, function, inputs, dynamic shapes or None).

A function takes the inputs as separate arguments. Names are unique and begin with the operator's family."""
import math
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.export import Dim

AUTO = Dim.AUTO


def rand(*shape, dtype=torch.float32, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape))).to(dtype)


def ints(low, high, *shape, dtype=torch.int64, seed=0):
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed + sum(shape))).to(dtype)


def elementwise():
    x, y = rand(3, 4), rand(3, 4, seed=7)
    p = x.abs() + 0.1
    unit = torch.rand(3, 4, generator=torch.Generator().manual_seed(1)) * 1.8 - 0.9
    special = torch.tensor([0.0, -0.0, 1.5, -2.5, 0.5, float("inf"), -float("inf"), float("nan"), 1e-30, 3e38])
    for name in ("exp exp2 expm1 sin cos tan sinh cosh tanh atan asinh erf erfc ceil floor trunc frac neg abs square "
                 "sign round sigmoid relu reciprocal deg2rad").split():
        yield name, getattr(torch, name), (x * 2,), None
        if name not in ("tan", "erf", "erfc", "cosh", "sinh", "asinh", "sin", "cos"):
            yield name + "_special", getattr(torch, name), (special,), None
    for name in "log log2 log10 log1p sqrt rsqrt".split():
        yield name, getattr(torch, name), (p,), None
    for name in "asin acos atanh logit".split():
        yield name, getattr(torch, name), (unit.abs() if name == "logit" else unit,), None
    yield "acosh", torch.acosh, (p + 1,), None
    for name in "isnan isinf isfinite isposinf isneginf signbit".split():
        yield name, getattr(torch, name), (special,), None
    yield "nan_to_num", lambda v: (torch.nan_to_num(v), torch.nan_to_num(v, 1.0, 2.0, -3.0)), (special,), None
    yield "round_decimals", lambda v: (torch.round(v, decimals=2), torch.round(v * 100, decimals=-1)), (x,), None
    for name in "add sub mul div maximum minimum fmod remainder atan2 hypot copysign logaddexp logaddexp2 fmax fmin".split():
        yield name, getattr(torch, name), (x, y), None
        yield name + "_broadcast", getattr(torch, name), (rand(3, 1, 4), rand(2, 1)), None
    i, j = ints(-9, 10, 5, 5), ints(1, 5, 5, 5) * torch.tensor([1, -1, 1, -1, 1])
    for name in "add sub mul maximum minimum fmod remainder floor_divide bitwise_and bitwise_or bitwise_xor".split():
        for dtype in (torch.int64, torch.int32, torch.int8, torch.uint8):
            a, b = (i.abs() + 1, j.abs()) if dtype == torch.uint8 else (i, j)
            yield f"int_{name}_{str(dtype)[6:]}", getattr(torch, name), (a.to(dtype), b.to(dtype)), None
    yield "div_modes", lambda a, b: (torch.div(a, b), torch.div(a, b, rounding_mode="floor"), torch.div(a, b, rounding_mode="trunc")), (i, j), None
    yield "div_modes_float", lambda a, b: (torch.div(a, b, rounding_mode="floor"), torch.div(a, b, rounding_mode="trunc"), a // b, a % b), (x * 5, y), None
    yield "int_wrap", lambda a: (a + 200, a * 3, -a, ~a, a << 1, a >> 1), (ints(0, 256, 9, dtype=torch.uint8),), None
    yield "shifts", lambda a: (a << 2, a >> 2, a.bitwise_left_shift(1)), (i,), None
    yield "scalars", lambda a: (a + 2, 2 - a, a * 0.5, 1 / a, a / 3, a - 1.5, 3 * a, a**2, a**3, a**-1, 2**a, a.abs()**0.5, a.abs()**-0.5, a.abs()**1.7), (x,), None
    yield "int_scalars", lambda a: (a + 2, a + 1.5, a * True, a // 2, a % 3, 7 // a, a**2, a / 2, -a, a.float() / 2), (j,), None
    yield "alpha", lambda a, b: (torch.add(a, b, alpha=2), torch.sub(a, b, alpha=0.5), torch.rsub(a, b, alpha=3)), (x, y), None
    yield "pow_tensors", torch.pow, (p, y), None
    yield "pow_ints", lambda a: (torch.pow(a, torch.tensor([0, 1, 2, 3, 4])), torch.pow(2, a.abs())), (i,), None
    for name in "eq ne lt le gt ge".split():
        yield "cmp_" + name, (lambda f: lambda a, b, c: (f(a, b), f(a, 0), f(c, 2), f(c, 1.5), f(c, a[0, 0])))(getattr(torch, name)), (x, y, i), None
    yield "cmp_nan", lambda a: (a == a, a != a, a < 1, a > 1, a.clamp(-1, 1), a.maximum(torch.tensor(0.0)), F.relu(a)), (special,), None
    yield "cmp_uint8", lambda a, b: (a < b, a > b, torch.maximum(a, b), torch.minimum(a, b), a // b, a % b), (ints(0, 256, 8, dtype=torch.uint8), ints(1, 256, 8, dtype=torch.uint8, seed=3)), None
    b1, b2 = x > 0, y > 0
    yield "logical", lambda a, b, v: (a & b, a | b, a ^ b, ~a, torch.logical_and(v, b), torch.logical_or(v, a), torch.logical_xor(v, b), torch.logical_not(v), a + b, a * b, a.sum()), (b1, b2, i[:3, :4]), None
    yield "where", lambda c, a, b: (torch.where(c, a, b), torch.where(c, a, 0.0), torch.where(c, 1, 2), torch.where(c, a, b.double())), (b1, x, y), None
    yield "clamp", lambda a, b: (a.clamp(-0.5, 0.5), a.clamp(min=0.1), a.clamp(max=0.2), a.clamp(min=b), a.clamp(b, b + 1), torch.clamp_min(a, 0), torch.clamp_max(a, 0.3)), (x, y), None
    yield "clamp_int", lambda a: (a.clamp(-2, 3), a.clamp(min=0), a.clamp(-1.5, 2.5)), (i,), None
    yield "lerp_addc", lambda a, b, c: (torch.lerp(a, b, 0.3), torch.lerp(a, b, c), torch.addcmul(a, b, c, value=0.5), torch.addcdiv(a, b, c + 3, value=2)), (x, y, unit), None
    yield "masked_fill", lambda m, a: (a.masked_fill(m, 7.0), a.masked_fill(m, float("-inf")), a.masked_fill(m, torch.tensor(3.0))), (b1, x), None
    yield "convert", lambda a, b, c: (a.int(), a.long(), a.double(), a.bool(), a.half(), a.bfloat16(), b.float(), b.bool(), b.int(), b.half(), c.float(), c.int(), a.to(torch.uint8).int() if False else a.to(torch.int8)), (x * 5, i, b1), None
    yield "promote", lambda a, b, c, d: (a + b, b + c, c * a, b / c, a + d, d + 1, c + 1.5, d * 2.0), (x, ints(0, 5, 3, 4, dtype=torch.int32), ints(0, 5, 3, 4), rand(3, 4, dtype=torch.float16)), None
    yield "promote_zero_dim", lambda a, b: (a + b, b * 2, a * b.double(), a.half() + b), (x, torch.tensor(2.5)), None
    for dtype in (torch.float16, torch.bfloat16):
        yield f"half_{str(dtype)[6:]}", lambda a, b: (a + b, a * b, a / b, F.gelu(a), torch.exp(a), torch.sigmoid(a), a**2, a.sum(), a.mean(1), a.softmax(-1), F.layer_norm(a, (4,))), (rand(3, 4, dtype=dtype), rand(3, 4, dtype=dtype, seed=4)), None
    yield "double", lambda a, b: (a + b, torch.exp(a), a / 3, a.softmax(-1), a @ b.t()), (x.double(), y.double()), None
    yield "xlogy_etc", lambda a, b: (torch.xlogy(a, b), torch.heaviside(a, b), torch.special.expit(a)), (torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0.0, 0.5, 3.0])), None
    yield "dyn", lambda a, b: (a * b + a.shape[0], a / a.shape[1], a + b * (a.shape[0] // 2)), (rand(6, 4), rand(6, 4, seed=3)), ({0: AUTO}, {0: AUTO})


def activation():
    x = rand(4, 5) * 3
    for f in (F.gelu, F.silu, F.mish, F.hardswish, F.hardsigmoid, F.logsigmoid, F.softsign, F.tanhshrink, F.selu, F.relu6, F.elu, F.celu,
              F.softplus, F.hardtanh, F.leaky_relu, F.hardshrink, F.softshrink, F.sigmoid, F.tanh, F.relu):
        yield f.__name__, f, (x,), None
    yield "gelu_tanh", lambda v: F.gelu(v, approximate="tanh"), (x,), None
    yield "variants", lambda v: (F.elu(v, 0.5), F.celu(v, 2.0), F.softplus(v, 2.0, 1.0), F.hardtanh(v, -0.5, 2.0), F.leaky_relu(v, 0.2), F.threshold(v, 0.1, 20.0), F.hardshrink(v, 1.0), F.softshrink(v, 0.2)), (x,), None
    yield "prelu", F.prelu, (rand(2, 3, 4), torch.tensor([0.1, 0.2, 0.3])), None
    yield "prelu_one", F.prelu, (rand(2, 3, 4), torch.tensor([0.25])), None
    yield "glu", lambda v: (F.glu(v, 0), F.glu(v[:, :4])), (x,), None
    yield "extremes", lambda v: (F.silu(v), F.sigmoid(v), F.softplus(v), F.logsigmoid(v), F.gelu(v), F.mish(v), F.elu(v)), (torch.tensor([-1e4, -90.0, -20.0, 0.0, 20.0, 90.0, 1e4]),), None
    yield "dropout", lambda v: F.dropout(v, 0.5, training=False), (x,), None


def layout():
    x = rand(2, 3, 4)
    yield "views", lambda v: (v.view(6, 4), v.reshape(-1, 2), v.flatten(1), v.flatten(), v.unsqueeze(1), v.unsqueeze(-1), v.unflatten(2, (2, -1)), v.reshape_as(v.new_zeros(4, 6))), (x,), None
    yield "squeeze", lambda v: (v.squeeze(), v.squeeze(0), v.squeeze(1), v.squeeze((0, 2))), (rand(1, 3, 1, 4),), None
    yield "permutes", lambda v: (v.permute(2, 0, 1), v.transpose(0, 2), v.mT, v.movedim(0, 2), v.movedim((0, 1), (1, 2)), v[0].t(), v[0].T, v.swapaxes(0, 1)), (x,), None
    yield "expand", lambda v: (v.expand(2, 3, 4), v.expand(5, -1, 3, -1), v[:1].expand_as(v.new_zeros(6, 3, 4)) if False else v.expand(1, 3, 4), torch.broadcast_to(v, (2, 3, 4))), (rand(1, 3, 4)[:, :1] * 1.0 + torch.zeros(1, 1, 1),), None if False else None
    yield "slices", lambda v: (v[1:], v[:, :-1], v[..., ::2], v[:, 1:3, 1:], v[0], v[:, -1], v[..., 0:100], v[5:], v.narrow(1, 1, 2), v.select(2, -1)), (x,), None
    yield "splits", lambda v: (*v.split(2, 2), *v.split([1, 2], 1), *v.chunk(3, 2), *v.unbind(1), *v.tensor_split(3, 2), *v.tensor_split((1, 2), 1)), (x,), None
    yield "joins", lambda a, b: (torch.cat([a, b]), torch.cat([a, b], -1), torch.stack([a, b], 1), torch.stack([a, b], -1), torch.cat([a, b.long()], 1), torch.hstack([a, b]), torch.vstack([a, b])), (rand(2, 3), rand(2, 3, seed=1)), None
    yield "repeats", lambda v: (v.repeat(2, 1, 3), v.repeat(2, 1, 1, 2), torch.tile(v, (2,)), v.repeat_interleave(2, 1), v.repeat_interleave(3)), (x,), None
    yield "flips", lambda v: (v.flip(0), v.flip((0, 2)), v.fliplr(), v.flipud(), v.roll(1, 0), v.roll((1, -1), (1, 2)), v.roll(5), v.rot90(1, (1, 2))), (x,), None
    yield "diagonals", lambda v: (v.diagonal(), v.diagonal(1, 1, 2), v.diagonal(-1, 2, 1), torch.diag(v[0, :, :3]), torch.tril(v), torch.triu(v, 1), torch.diff(v), torch.diff(v, n=2, dim=1)), (x,), None
    yield "unfold", lambda v: (v.unfold(2, 2, 1), v.unfold(1, 2, 1), v.unfold(2, 3, 2)), (x,), None
    yield "as_strided", lambda v: (v.as_strided((2, 2), (3, 1), 1), v.as_strided((3, 2, 4), (4, 12, 1)), v.as_strided((5, 3), (2, 1))), (x,), None
    yield "pixel_shuffle", lambda v: (F.pixel_shuffle(v, 2), F.pixel_unshuffle(F.pixel_shuffle(v, 2), 2), F.channel_shuffle(v, 4)), (rand(1, 8, 3, 2),), None
    yield "scatters", lambda v, s: (torch.slice_scatter(v, s, 1, 1), torch.select_scatter(v, s[:, 0], 1, 0)), (x, rand(2, 2, 4)), None
    yield "pads", lambda v: (F.pad(v, (1, 2)), F.pad(v, (1, 0, 2, 1), value=3.0), F.pad(v, (-1, 1)), F.pad(v, (1, 2), mode="reflect"), F.pad(v, (2, 1), mode="replicate"), F.pad(v, (1, 2), mode="circular")), (x,), None
    yield "pads2d", lambda v: (F.pad(v, (1, 2, 2, 1), mode="reflect"), F.pad(v, (1, 2, 3, 1), mode="replicate"), F.pad(v, (1, 2, 1, 0), mode="circular")), (rand(1, 2, 4, 5),), None
    yield "stacks", lambda a, b: (torch.dstack([a, b]), torch.column_stack([a[:, 0], b]), torch.hstack([a[0], b[0]]), torch.kron(a, b), torch.linalg.cross(a, b), *torch.broadcast_tensors(a, b[:1]), torch.rot90(a, 2), torch.rot90(a, 3)), (rand(2, 3), rand(2, 3, seed=1)), None
    yield "diag", lambda v: (torch.diag(v), torch.diag(v[0]), torch.diag(v[0], 1), torch.diag_embed(v, -1), torch.diag_embed(v, 2, 0, 2), torch.trace(v)), (rand(3, 4),), None
    yield "patches", lambda v: (F.unfold(v, (2, 3), 1, 1, 2), F.fold(F.unfold(v, 2), (5, 6), 2), F.fold(F.unfold(v, 3, padding=1, stride=2), (5, 6), 3, padding=1, stride=2)), (rand(2, 3, 5, 6),), None
    yield "meshgrid", lambda a, b: (*torch.meshgrid(a, b, indexing="ij"), *torch.meshgrid(a, b, indexing="xy")), (rand(3), rand(4)), None
    yield "complex", lambda v: (torch.view_as_complex(v), torch.view_as_real(torch.view_as_complex(v) * (1 + 2j)), torch.view_as_complex(v).abs(), torch.view_as_complex(v).real, torch.polar(v[..., 0].abs(), v[..., 1])), (rand(3, 4, 2),), None
    yield "dyn_views", lambda v: (v.view(-1, 4), v.reshape(v.shape[1] * v.shape[0], -1), v.flatten(1), v.unsqueeze(0).expand(3, -1, -1, -1), v.transpose(0, 1).reshape(-1), v[:, : v.shape[1] // 2], v.repeat(1, 2, 1)), (rand(4, 6, 4),), ({0: AUTO, 1: AUTO},)
    yield "dyn_slices", lambda v: (v[1:], v[:-1], v[:, ::2], v[v.shape[0] // 2:], torch.cat([v, v[:1]]), v.roll(1, 0), v.flip(0), F.pad(v, (0, 0, 2, 1)), torch.stack(v.unbind(1), 0), *v.chunk(2, 0)), (rand(6, 4),), ({0: AUTO},)
    yield "dyn_cat", lambda a, b: (torch.cat([a, b]), torch.cat([a, b]).sum(0), torch.cat([a, b])[: a.shape[0]]), (rand(4, 3), rand(5, 3)), ({0: AUTO}, {0: AUTO})
    yield "dyn_table", lambda i, t: t[: i.shape[0]] + i.unsqueeze(1), (rand(5), rand(20, 4)), ({0: Dim("n", max=20)}, None)


def creation():
    yield "creation", lambda v: (v + torch.zeros(3), torch.ones(2, 3), torch.full((2,), 7), torch.arange(5), torch.arange(1, 10, 2), torch.arange(0.0, 1.0, 0.1), torch.linspace(0, 1, 7), torch.eye(3, 4), torch.zeros_like(v), torch.full_like(v, 2.5), v.new_ones(2), torch.tensor(3.5) + v, torch.scalar_tensor(2), torch.arange(3, 0, -1)), (rand(3),), None
    yield "dyn_creation", lambda v: (torch.arange(v.shape[0]), torch.zeros(v.shape[0], 2), torch.ones_like(v), torch.arange(v.shape[0], dtype=torch.float32) * 2, torch.full((v.shape[0],), v.shape[0]), torch.arange(0, v.shape[0], 2), torch.tril(torch.ones(v.shape[0], v.shape[0]))), (rand(6, 2),), ({0: AUTO},)
    yield "one_hot", lambda v: F.one_hot(v, 5), (ints(0, 5, 4),), None
    yield "tri_indices", lambda v: v + torch.tril_indices(3, 3).sum() + torch.triu_indices(3, 4, 1).sum(), (rand(2),), None


def reduction():
    x, i = rand(3, 4, 5), ints(-5, 6, 3, 4)
    special = torch.tensor([[1.0, float("nan"), 2.0], [float("inf"), 1.0, -1.0]])
    yield "sums", lambda v, n: (v.sum(), v.sum(1), v.sum((0, 2)), v.sum(-1, keepdim=True), n.sum(), n.sum(0), v.sum(dtype=torch.float64), (n > 0).sum(1), n.to(torch.int32).sum(), n.prod(1), v.prod(2), v.mean(), v.mean((1, 2), keepdim=True)), (x, i), None
    yield "extrema", lambda v, n: (v.amax(1), v.amin((0, 2)), v.max(), v.min(), *v.max(1), *v.min(-1, keepdim=True), n.max(), *n.min(0), v.argmax(), v.argmin(1), v.argmax(-1, keepdim=True), *torch.aminmax(v, dim=1)), (x, i), None
    yield "extrema_special", lambda v: (v.amax(1), v.argmax(1), *v.max(1), v.argmin(1), v.amin()), (special,), None
    yield "extrema_uint8", lambda v: (v.max(), v.amin(0), v.argmax(1), *v.max(0)), (ints(0, 256, 3, 4, dtype=torch.uint8),), None
    yield "logic", lambda v, n: ((v > 0).any(), (v > 0).all(1), n.any(0), n.all(), (n == n).all(), torch.count_nonzero(n, 1)), (x, i), None
    yield "variance", lambda v: (v.var(), v.var(1), v.var(1, unbiased=False), v.std((0, 2), keepdim=True), *torch.var_mean(v, 1), v.std(correction=2, dim=1), *torch.std_mean(v)), (x,), None
    yield "norms", lambda v: (v.norm(), v.norm(dim=1), v.norm(1, 2), v.norm(float("inf"), 1), torch.linalg.vector_norm(v, 3, 1), torch.linalg.vector_norm(v, 0, 1), F.normalize(v, dim=1), torch.linalg.norm(v, dim=2), v.norm(-float("inf"), 0)), (x,), None
    yield "logsumexp", lambda v: (v.logsumexp(1), v.logsumexp((0, 2), keepdim=True), torch.logsumexp(torch.full((2, 3), -float("inf")), 1)), (x,), None
    yield "cumulate", lambda v, n: (v.cumsum(1), v.cumprod(-1), n.cumsum(0), (n > 0).cumsum(1)), (x, i), None
    yield "sorts", lambda v, n: (*v.sort(1), *v.sort(-1, descending=True), *v.sort(dim=0, stable=True), v.argsort(2), *v.topk(3, 1), *v.topk(2, 2, largest=False), *v.kthvalue(2, 1), v.median(), *v.median(1), *n.sort(dim=1, stable=True)), (x, i), None
    yield "softmaxes", lambda v: (v.softmax(-1), v.softmax(0), v.log_softmax(1), F.softmin(v, 1), torch.softmax(v, 1, dtype=torch.float64), (v * 1000).softmax(-1), (v * 1000).log_softmax(-1)), (x,), None
    yield "empty", lambda v: (v.sum(0), v.prod(0), (v > 0).any(0), (v > 0).all(0), torch.cat([v, v])), (torch.zeros(0, 3),), None
    yield "scalar", lambda v: (v.sum(), v.mean(), v.softmax(0), v.cumsum(0), v.amax(), *v.sort(), v.squeeze(), v.unsqueeze(0), v.reshape(1, 1), v.expand(2, 3), v.argmax()), (torch.tensor(2.5),), None
    yield "dyn_reduction", lambda v: (v.sum(0), v.mean((0, 1)), v.softmax(0), v.var(0), v.amax(), v.cumsum(1), v.mean(1, keepdim=True) + v, v.argmax(1), *v.sort(0)), (rand(4, 6),), ({0: AUTO, 1: AUTO},)


def norm():
    x = rand(2, 6, 4, 5)
    w, b = rand(6) + 1, rand(6, seed=9)
    yield "layer_norm", lambda v: (F.layer_norm(v, (5,)), F.layer_norm(v, (4, 5), torch.ones(4, 5) * 2, torch.ones(4, 5), 1e-3)), (x,), None
    yield "rms_norm", lambda v: (F.rms_norm(v, (5,)), F.rms_norm(v, (5,), torch.arange(5.0), 1e-3), F.rms_norm(v, (4, 5))), (x,), None
    yield "group_norm", lambda v, w, b: (F.group_norm(v, 3), F.group_norm(v, 2, w, b, 1e-3)), (x, w, b), None
    yield "instance_norm", lambda v, w, b: (F.instance_norm(v), F.instance_norm(v, weight=w, bias=b)), (x, w, b), None
    yield "batch_norm", lambda v, w, b: (F.batch_norm(v, w, w.abs() + 0.5, w, b), F.batch_norm(v, w, w.abs() + 0.5)), (x, w, b), None
    yield "batch_norm_train", lambda v, w, b: F.batch_norm(v, None, None, w, b, training=True), (x, w, b), None
    yield "batch_norm_1d", nn.BatchNorm1d(6).eval(), (rand(5, 6),), None
    yield "bf16_norms", lambda v: (F.layer_norm(v, (16,)), F.rms_norm(v, (16,)), v.softmax(-1), F.group_norm(v, 2)), (rand(3, 4, 16, dtype=torch.bfloat16),), None
    yield "weight_norm", nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)).eval(), (rand(2, 4),), None
    yield "nans", lambda v: (torch.nansum(v), torch.nanmean(v, 1), *torch.cummax(torch.nan_to_num(v), 1)[:1]), (torch.tensor([[1.0, float("nan"), 3.0]]),), None
    yield "cosine", lambda a, c: (F.cosine_similarity(a, c), F.pairwise_distance(a, c)), (rand(3, 4), rand(3, 4, seed=2)), None
    logits, target = rand(5, 7), ints(0, 7, 5)
    yield "cross_entropy", lambda l, t: (F.cross_entropy(l, t), F.cross_entropy(l, t, reduction="none"), F.cross_entropy(l, t, reduction="sum", ignore_index=2), F.cross_entropy(l, t, torch.arange(7.0) + 1), F.cross_entropy(l, l.softmax(1)), F.nll_loss(l.log_softmax(1), t)), (logits, target), None
    yield "cross_entropy_2d", lambda l, t: (F.cross_entropy(l, t), F.cross_entropy(l, t, reduction="none")), (rand(2, 5, 3), ints(0, 5, 2, 3)), None
    yield "losses", lambda a, c: (F.mse_loss(a, c), F.l1_loss(a, c, reduction="none"), F.smooth_l1_loss(a, c, beta=0.5), F.huber_loss(a, c, reduction="sum"), F.kl_div(a.log_softmax(1), c.softmax(1), reduction="batchmean"), F.binary_cross_entropy(a.sigmoid(), c.sigmoid()), F.binary_cross_entropy_with_logits(a, c.sigmoid(), pos_weight=torch.tensor(2.0))), (rand(4, 3), rand(4, 3, seed=5)), None
    yield "dyn_norm", lambda v: (F.layer_norm(v, (8,)), F.rms_norm(v, (8,)), v.softmax(1), F.instance_norm(v.transpose(1, 2))), (rand(3, 5, 8),), ({0: AUTO, 1: AUTO},)


def contract():
    a, b = rand(3, 4), rand(4, 5)
    yield "mm", lambda x, y: (x @ y, torch.mm(x, y), torch.addmm(torch.ones(5), x, y), torch.addmm(torch.ones(3, 5), x, y, beta=0.5, alpha=2), x.mv(y[:, 0]), x[0].dot(x[1]), torch.outer(x[0], y[0]), torch.inner(x, x)), (a, b), None
    yield "matmul_ranks", lambda x, y, u, v: (x @ y, u @ x, x @ v, u @ v[0, :3], x[0] @ v, torch.matmul(x, v[0, :, 0])), (rand(2, 3, 4), rand(2, 4, 5), rand(5, 3), rand(2, 4, 6)), None
    yield "matmul_broadcast", lambda x, y: (x @ y, x[:, :1] @ y, x @ y[0]), (rand(2, 3, 4, 5), rand(1, 3, 5, 2)), None
    yield "matmul_vectors", lambda x, y, m: (x @ y, m @ x, x @ m.transpose(-1, -2), m[0] @ x), (rand(4), rand(4, seed=2), rand(2, 3, 4)), None
    yield "bmm", lambda x, y: (torch.bmm(x, y), torch.baddbmm(torch.ones(2, 3, 5), x, y, beta=2, alpha=0.5), torch.addbmm(torch.ones(3, 5), x, y)), (rand(2, 3, 4), rand(2, 4, 5)), None
    yield "linear", lambda x, w, c: (F.linear(x, w, c), F.linear(x, w), F.linear(x[0], w, c), F.linear(x[0, 0], w, c)), (rand(2, 3, 4), rand(5, 4), rand(5)), None
    yield "tensordot", lambda x, y: (torch.tensordot(x, y, ([2], [0])), torch.tensordot(x, y, 1), torch.addr(torch.ones(4, 5), x[0, 0], y[0])), (rand(2, 3, 4), rand(4, 5)), None
    yield "bilinear", lambda x, y, w: F.bilinear(x, y, w), (rand(3, 4), rand(3, 5), rand(2, 4, 5)), None
    for e, shapes in {"ij,jk->ik": ((2, 3), (3, 4)), "bij,bjk->bik": ((2, 2, 3), (2, 3, 4)), "ij->ji": ((2, 3),), "ij->": ((2, 3),), "ii->i": ((3, 3),), "ii": ((3, 3),), "i,j->ij": ((2,), (3,)),
                      "bhqd,bhkd->bhqk": ((2, 2, 3, 4), (2, 2, 5, 4)), "ij,ij->i": ((2, 3), (2, 3)), "...ij,...jk->...ik": ((2, 3, 4), (4, 5)), "ij,jk,kl->il": ((2, 3), (3, 4), (4, 2)), "ijk,k": ((2, 3, 4), (4,)), "ij,kj->ijk": ((2, 3), (4, 3)),
                      "bld,dhk->bhlk": ((2, 3, 4), (4, 2, 5)), "abc,cd->dab": ((2, 3, 4), (4, 5)), "ij,k->ik": ((2, 3), (4,))}.items():
        yield "einsum_" + "".join(c if c.isalnum() else "_" for c in e), (lambda e: lambda *t: torch.einsum(e, *t))(e), tuple(rand(*s) for s in shapes), None
    yield "int_mm", lambda x, y: x @ y, (ints(-5, 5, 3, 4), ints(-5, 5, 4, 2)), None
    yield "bf16_mm", lambda x, y: (x @ y, F.linear(x, y.t())), (rand(3, 40, dtype=torch.bfloat16), rand(40, 5, dtype=torch.bfloat16)), None
    yield "cdist", lambda x, y: torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist"), (rand(3, 4), rand(5, 4)), None
    yield "dyn_linear", lambda x, w: (F.linear(x, w), x @ w.t(), torch.einsum("bsd,nd->bns", x, w), x @ x.transpose(1, 2)), (rand(2, 3, 4), rand(5, 4)), ({0: AUTO, 1: AUTO}, None)


def convolution():
    x2 = rand(2, 4, 7, 8)
    for name, m in {"plain": nn.Conv2d(4, 6, 3), "stride_pad": nn.Conv2d(4, 6, 3, 2, 1), "dilated": nn.Conv2d(4, 6, (3, 2), padding=(2, 1), dilation=(2, 1)), "groups": nn.Conv2d(4, 6, 3, padding=1, groups=2, bias=False),
                    "depthwise": nn.Conv2d(4, 8, 3, groups=4), "same": nn.Conv2d(4, 5, 4, padding="same", dilation=2), "valid": nn.Conv2d(4, 5, 2, padding="valid"), "circular": nn.Conv2d(4, 5, 3, padding=1, padding_mode="circular"),
                    "transposed": nn.ConvTranspose2d(4, 6, 3), "transposed_stride": nn.ConvTranspose2d(4, 6, 3, 2, 1, output_padding=1), "transposed_groups": nn.ConvTranspose2d(4, 6, (2, 3), (2, 1), groups=2, dilation=(1, 2), padding=1)}.items():
        yield "conv2d_" + name, m.eval(), (x2,), None
    yield "conv1d", nn.Sequential(nn.Conv1d(3, 4, 3, padding=1), nn.ReLU(), nn.ConvTranspose1d(4, 2, 4, 2, 1)).eval(), (rand(2, 3, 9),), None
    yield "conv3d", nn.Sequential(nn.Conv3d(2, 3, 2, padding=1), nn.ConvTranspose3d(3, 2, 2, 2)).eval(), (rand(1, 2, 3, 4, 5),), None
    yield "conv_unbatched", nn.Conv2d(4, 3, 3).eval(), (rand(4, 5, 6),), None
    yield "conv_bn", nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU6()).eval(), (x2,), None
    yield "dyn_conv", nn.Sequential(nn.Conv2d(4, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval(), (rand(2, 4, 16, 16),), ({0: AUTO, 2: AUTO, 3: AUTO},)


def pooling():
    x = rand(2, 3, 7, 9)
    yield "max", lambda v: (F.max_pool2d(v, 2), F.max_pool2d(v, 3, 2, 1), F.max_pool2d(v, 3, 1, 1, 2), F.max_pool2d(v, 2, 2, 0, ceil_mode=True), F.max_pool2d(v, (3, 2), (2, 1), (1, 0)), F.max_pool2d(v, 3, 2, 1, ceil_mode=True)), (x,), None
    yield "max_indices", lambda v: (*F.max_pool2d(v, 2, return_indices=True), *F.max_pool2d(v, 3, 2, 1, return_indices=True), *F.max_pool2d(v, 2, 2, 0, 1, True, return_indices=True)), (x,), None
    yield "avg", lambda v: (F.avg_pool2d(v, 2), F.avg_pool2d(v, 3, 2, 1), F.avg_pool2d(v, 3, 2, 1, count_include_pad=False), F.avg_pool2d(v, 2, 2, ceil_mode=True), F.avg_pool2d(v, 3, 2, 1, ceil_mode=True), F.avg_pool2d(v, 2, divisor_override=3), F.avg_pool2d(v, 3, 2, 1, True, False)), (x,), None
    yield "adaptive", lambda v: (F.adaptive_avg_pool2d(v, 1), F.adaptive_avg_pool2d(v, (7, 3)), F.adaptive_avg_pool2d(v, (3, 4)), F.adaptive_avg_pool2d(v, (None, 2)), F.adaptive_max_pool2d(v, (3, 4)), F.adaptive_max_pool2d(v, 1)), (x,), None
    yield "pool1d", lambda v: (F.max_pool1d(v, 3, 2, 1), F.avg_pool1d(v, 2), F.adaptive_avg_pool1d(v, 4), F.adaptive_max_pool1d(v, 4)), (rand(2, 3, 10),), None
    yield "pool3d", lambda v: (F.max_pool3d(v, 2), F.avg_pool3d(v, 2), F.adaptive_avg_pool3d(v, (1, 2, 2)), F.adaptive_avg_pool3d(v, (2, 3, 2))), (rand(1, 2, 4, 5, 6),), None
    yield "dyn_pool", lambda v: (F.max_pool2d(v, 3, 2, 1), F.avg_pool2d(v, 2), F.adaptive_avg_pool2d(v, (2, 3)), F.avg_pool2d(v, 3, 2, 1, count_include_pad=False)), (rand(2, 3, 16, 16),), ({0: AUTO, 2: AUTO, 3: AUTO},)


def attention():
    q, k, v = rand(2, 4, 5, 8), rand(2, 4, 7, 8, seed=1), rand(2, 4, 7, 6, seed=2)
    sdpa = F.scaled_dot_product_attention
    yield "sdpa", lambda q, k, v: (sdpa(q, k, v), sdpa(q, k, v, scale=0.3), sdpa(q, k, v, is_causal=True), sdpa(q[0], k[0], v[0]), sdpa(q[0, 0], k[0, 0], v[0, 0])), (q, k, v), None
    yield "sdpa_mask", lambda q, k, v, m, f: (sdpa(q, k, v, m), sdpa(q, k, v, m[0, 0]), sdpa(q, k, v, m[:, :, :1]), sdpa(q, k, v, f), sdpa(q, k, v, f[:1, :, :, :]), sdpa(q[:, 0], k[:, 0], v[:, 0], f[:, 0])), (q, k, v, ints(0, 2, 2, 1, 5, 7).bool() | torch.eye(5, 7).bool(), rand(2, 4, 5, 7)), None
    yield "sdpa_masked_rows", lambda q, k, v, m, f: (sdpa(q, k, v, m), sdpa(q, k, v, f)), (q, k, v, torch.zeros(5, 7).bool(), torch.zeros(5, 7).index_fill(0, torch.tensor([2]), -float("inf"))), None
    yield "sdpa_gqa", lambda q, k, v: sdpa(q, k, v, is_causal=True, enable_gqa=True), (rand(1, 8, 5, 4), rand(1, 2, 5, 4), rand(1, 2, 5, 4, seed=3)), None
    yield "mha", nn.MultiheadAttention(8, 2, batch_first=True).eval(), (rand(2, 5, 8), rand(2, 5, 8), rand(2, 5, 8)), None
    yield "transformer", nn.TransformerEncoderLayer(16, 4, 32, batch_first=True).eval(), (rand(2, 5, 16),), None
    yield "dyn_sdpa", lambda q, k, v: (sdpa(q, k, v, is_causal=True), sdpa(q, k, v)), (rand(2, 4, 5, 8), rand(2, 4, 5, 8, seed=1), rand(2, 4, 5, 8, seed=2)), ({0: AUTO, 2: AUTO},) * 3


def indexing():
    x, i, neg = rand(5, 6, 4), ints(0, 5, 3), torch.tensor([-1, 2, -3])
    yield "embedding", lambda t, i: (F.embedding(i, t), F.embedding(i.int(), t), F.embedding(i[0, 0], t)), (rand(10, 4), ints(0, 10, 2, 3)), None
    yield "index_select", lambda v, i: (v.index_select(0, i), v.index_select(1, i), v[i], v[:, i], v[:, :, i % 4]), (x, i), None
    yield "index_negative", lambda v, i: (v[i], v[:, i], v[i, i], v[i, :, i], v[i[:, None], i], v[..., i], v[None, i], v[i, 1:3]), (x, neg), None
    yield "gather", lambda v, i: (v.gather(1, i), v.gather(2, i[:, :, :4] % 4), torch.take_along_dim(v, i[:, :2], 1), torch.take(v, i)), (x, ints(0, 5, 5, 3, 4)), None
    yield "index_put", lambda v, i, s: (v.index_put((i,), s), v.index_put((i, i), torch.tensor(5.0)), v.index_put((i,), s, accumulate=True), v.index_put((i % 2,), s, accumulate=True)), (x, torch.tensor([0, 4, -3]), rand(3, 6, 4)), None
    yield "index_put_mask", lambda v: v.index_put((v > 0,), torch.tensor(0.0)), (x,), None
    yield "scatter", lambda v, i, s: (v.scatter(1, i, s), v.scatter(0, i[:2] % 3, 7.0), v.scatter_add(1, i, s), v.scatter_reduce(1, i, s, "sum"), v.scatter_reduce(1, i, s, "amax"), v.scatter_reduce(1, i, s, "prod", include_self=False), v.scatter_reduce(1, i, s, "mean"), v.scatter(1, i, s, reduce="add")), (x, torch.stack([torch.randperm(6, generator=torch.Generator().manual_seed(n))[:4] for n in range(20)]).view(5, 4, 4), rand(5, 4, 4)), None
    yield "index_ops", lambda v, i, s: (v.index_add(0, i, s), v.index_add(0, i, s, alpha=2), v.index_copy(0, i, s), v.index_fill(1, i, 3.0)), (x, torch.tensor([0, 4, 2]), rand(3, 6, 4)), None
    yield "masked", lambda v, m, s: (v.masked_scatter(m, s), torch.masked_fill(v, m, 1.0)), (x, x > 0.3, rand(5, 6, 4, seed=4)), None
    yield "search", lambda v, b: (torch.bucketize(v, b), torch.bucketize(v, b, right=True), torch.searchsorted(b, v), torch.isin(v.round(), torch.tensor([0.0, 1.0]))), (rand(3, 4), torch.tensor([-1.0, 0.0, 0.5, 1.0])), None
    yield "embedding_bag", lambda t, i, o: (F.embedding_bag(i, t, o, mode="sum"), F.embedding_bag(i, t, o, mode="mean"), F.embedding_bag(i, t, o, mode="max"), F.embedding_bag(i.view(2, 4), t, mode="mean")), (rand(10, 4), ints(0, 10, 8), torch.tensor([0, 3, 3, 6])), None
    yield "dyn_index", lambda v, i: (v[i], v[:, -1], v[torch.arange(v.shape[0]), i[: v.shape[0]] % 6] if False else v.index_select(0, i), F.embedding(i, v[:, :, 0])), (x, ints(0, 5, 7)), (None, {0: AUTO})


def recurrent():
    x = rand(2, 6, 5)

    class Run(nn.Module):
        def __init__(s, m):
            super().__init__()
            s.m = m.eval()

        def forward(s, x):
            y, h = s.m(x)
            return (y, *h) if isinstance(h, tuple) else (y, h)

    for name, m in {"lstm": nn.LSTM(5, 4, batch_first=True), "lstm_deep": nn.LSTM(5, 4, 2, bidirectional=True), "lstm_nobias": nn.LSTM(5, 4, bias=False), "gru": nn.GRU(5, 4, 2, batch_first=True, bidirectional=True), "gru_nobias": nn.GRU(5, 4, bias=False),
                    "rnn": nn.RNN(5, 4, 2, batch_first=True), "rnn_relu": nn.RNN(5, 4, nonlinearity="relu", bidirectional=True)}.items():
        yield name, Run(m), (x,), None
    yield "lstm_dyn", Run(nn.LSTM(5, 4, batch_first=True)), (x,), ({0: AUTO},)
    yield "cells", nn.LSTMCell(5, 4).eval(), (x[:, 0],), None
    yield "gru_cell", nn.GRUCell(5, 4).eval(), (x[:, 0],), None


def resampling():
    x = rand(1, 2, 5, 6)
    yield "nearest", lambda v: (F.interpolate(v, scale_factor=2), F.interpolate(v, (7, 4)), F.interpolate(v, scale_factor=1.5), F.interpolate(v, (7, 4), mode="nearest-exact"), F.interpolate(v[0], 9), F.interpolate(v[None], scale_factor=2)), (x,), None
    yield "linear", lambda v: (F.interpolate(v, scale_factor=2, mode="bilinear"), F.interpolate(v, (7, 4), mode="bilinear", align_corners=True), F.interpolate(v, (3, 11), mode="bilinear"), F.interpolate(v, scale_factor=1.7, mode="bilinear"), F.interpolate(v[0], 9, mode="linear"), F.interpolate(v[None], scale_factor=2, mode="trilinear")), (x,), None
    yield "cubic", lambda v: (F.interpolate(v, scale_factor=2, mode="bicubic"), F.interpolate(v, (7, 4), mode="bicubic", align_corners=True), F.interpolate(v, (3, 11), mode="bicubic")), (x,), None
    yield "smooth", lambda v: (F.interpolate(v, (3, 4), mode="bilinear", antialias=True), F.interpolate(v, (3, 9), mode="bicubic", antialias=True)), (x,), None
    grid = torch.rand(1, 3, 4, 2, generator=torch.Generator().manual_seed(3)) * 2.6 - 1.3
    for padding in ("zeros", "border", "reflection"):
        yield "grid_" + padding, (lambda p: lambda v, g: (F.grid_sample(v, g, padding_mode=p, align_corners=False), F.grid_sample(v, g, padding_mode=p, align_corners=True), F.grid_sample(v, g, "nearest", p, False)))(padding), (x, grid), None
    yield "dyn_linear", lambda v: (F.interpolate(v, scale_factor=2, mode="bilinear"), F.interpolate(v, (8, 8), mode="bilinear")), (rand(2, 2, 5, 6),), ({0: AUTO, 2: AUTO},)


def fourier():
    x = rand(3, 8)
    yield "fft", lambda v: (torch.fft.rfft(v).abs(), torch.view_as_real(torch.fft.rfft(v)), torch.fft.irfft(torch.fft.rfft(v)), torch.view_as_real(torch.fft.fft(v)), torch.fft.ifft(torch.fft.fft(v)).real, torch.fft.irfft(torch.fft.rfft(v), norm="ortho"), torch.view_as_real(torch.fft.fft2(v))), (x,), None
    yield "fft_odd", lambda v: (torch.fft.irfft(torch.fft.rfft(v), n=7), torch.fft.irfft2(torch.fft.rfft2(v), s=(3, 7)), torch.fft.fftn(v).real, torch.fft.rfft(v, 5).abs(), torch.fft.rfft(v, 9, norm="forward").abs(), torch.fft.rfft(v, dim=0).imag), (rand(3, 7),), None


class InPlace(nn.Module):
    """Writes to values and views, none of which are inputs."""
    def forward(self, x):
        y = x.clone()
        y.add_(1)
        y[:, 1] = 5
        v = y.view(-1)
        v[2:4].mul_(10)
        row = y[2]
        row.copy_(x[0])
        t = y.t()
        t[0].zero_()
        w = x.reshape(4, 3)
        z = torch.zeros(3, 4)
        z[1:, ::2] = x[1:, ::2]
        z.index_copy_(0, torch.tensor([0]), x[2:])
        z.masked_fill_(z > 1, 0.5)
        a, b = z.chunk(2, 1)
        a += 3
        c = x.transpose(0, 1).reshape(3, 4)
        c += 1
        return y, v, row, t, w, z, b, F.relu_(x.clone() - 1), c, x


class Counter(nn.Module):
    """Buffers that change."""
    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(2))
        self.register_buffer("cache", torch.arange(12.0).view(3, 4))

    def forward(self, x):
        self.count.add_(1)
        self.cache[1:2] = x
        return x * self.count[0] + self.cache.sum(0)


def state():
    yield "in_place", InPlace(), (rand(3, 4),), None
    yield "buffers", Counter(), (rand(1, 4),), None


def weights():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.t = nn.Parameter(rand(4, 3).t())
            self.part = nn.Parameter(torch.arange(24.0).view(4, 6)[1:3, 2:5])
            self.row = nn.Parameter(torch.arange(12.0).view(3, 4)[1])
            self.wide = nn.Parameter(rand(1, 4).expand(3, 4), requires_grad=False)
            self.register_buffer("flags", torch.tensor([True, False, True, True]))
            self.register_buffer("narrow", rand(4, dtype=torch.bfloat16))
            self.register_buffer("small", torch.tensor(7))

        def forward(self, x):
            return x + self.t, self.part * 2, self.row + x, self.wide + x, torch.where(self.flags, x, 0), self.narrow + 1, x + self.small, x * torch.tensor([1.0, 2.0, 3.0, 4.0])

    yield "layouts", M(), (rand(3, 4),), None


def control():
    from torch._higher_order_ops.scan import scan
    yield "cond", lambda x: torch.cond(x.sum() > 0, lambda v: v.sin(), lambda v: v - 1, (x,)), (rand(3),), None
    yield "item", lambda x, n: x * n[0].item(), (rand(3), rand(2)), None
    yield "scan", lambda h, x: scan(lambda c, v: (c * 0.9 + v, c + v), h, x, dim=0), (rand(4), rand(5, 4)), None


def families():
    for f in (elementwise, activation, layout, creation, reduction, norm, contract, convolution, pooling, attention, indexing, recurrent,
              resampling, fourier, state, weights, control):
        yield f.__name__, f


def cases():
    for family, f in families():
        for name, function, inputs, dynamic in f():
            yield f"{family}/{name}", function, inputs, dynamic
