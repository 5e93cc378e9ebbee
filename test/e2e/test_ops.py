"""Small modules of every family of ops against eager PyTorch: as exported, and after run_decompositions()."""

import unittest

from harness import add_cases, check, torch

import torch.nn as nn
import torch.nn.functional as F


class Op(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


def floats(*shape, dtype=torch.float32):
    return torch.randn(*shape, dtype=dtype)


def ints(high, *shape, low=0, dtype=torch.int64):
    return torch.randint(low, high, shape, dtype=dtype)


# name: (module or function, inputs)
UNARY = {name: getattr(torch, name) for name in (
    "abs neg exp exp2 expm1 sqrt sin cos tan tanh sigmoid erf atan asinh floor ceil round trunc frac sign "
    "square isnan isinf isfinite logical_not relu").split()}
POSITIVE = {name: getattr(torch, name) for name in "log log2 log10 log1p rsqrt sqrt reciprocal lgamma".split()}
SMALL = {name: getattr(torch, name) for name in "asin acos atanh".split()}
ACTIVATIONS = {
    "gelu": F.gelu, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "silu": F.silu, "mish": F.mish,
    "hardswish": F.hardswish, "hardsigmoid": F.hardsigmoid, "hardtanh": F.hardtanh, "relu6": F.relu6,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2), "elu": F.elu, "celu": F.celu, "selu": F.selu,
    "softplus": F.softplus, "softsign": F.softsign, "log_sigmoid": F.logsigmoid, "threshold": lambda x: F.threshold(x, 0.1, 20.0),
    "glu": F.glu, "prelu": nn.PReLU(), "clamp": lambda x: x.clamp(-0.5, 0.7),
}
BINARY = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "maximum": torch.maximum,
    "minimum": torch.minimum, "atan2": torch.atan2, "pow": lambda a, b: a.abs() ** b, "fmod": torch.fmod,
    "remainder": torch.remainder, "floor_div": lambda a, b: torch.div(a, b, rounding_mode="floor"),
    "trunc_div": lambda a, b: torch.div(a, b, rounding_mode="trunc"), "lt": torch.lt, "ge": torch.ge, "eq": torch.eq,
    "logical_and": torch.logical_and, "where": lambda a, b: torch.where(a > b, a, b), "add_alpha": lambda a, b: torch.add(a, b, alpha=2),
    "lerp": lambda a, b: torch.lerp(a, b, 0.3), "copysign": torch.copysign, "xlogy": lambda a, b: torch.xlogy(a, b.abs()),
}
REDUCTIONS = {
    "sum": lambda x: x.sum(-1), "sum_all": lambda x: x.sum(), "sum_keep": lambda x: x.sum((0, 2), keepdim=True),
    "mean": lambda x: x.mean(1), "amax": lambda x: x.amax(-1), "amin": lambda x: x.amin((0, 1)), "prod": lambda x: x.prod(1),
    "var": lambda x: x.var(-1), "std": lambda x: x.std(1), "var_mean": lambda x: torch.var_mean(x, 2, correction=0),
    "argmax": lambda x: x.argmax(-1), "argmin": lambda x: x.argmin(1), "max_dim": lambda x: tuple(x.max(1)), "min_dim": lambda x: tuple(x.min(-1)),
    "any": lambda x: (x > 1).any(1), "all": lambda x: (x > -1).all(-1), "norm": lambda x: torch.linalg.vector_norm(x, dim=-1),
    "logsumexp": lambda x: x.logsumexp(-1), "softmax": lambda x: x.softmax(-1), "softmax_mid": lambda x: x.softmax(1),
    "log_softmax": lambda x: x.log_softmax(-1), "cumsum": lambda x: x.cumsum(1), "normalize": lambda x: F.normalize(x, dim=-1),
}
LAYOUT = {
    "reshape": lambda x: x.reshape(6, -1), "permute": lambda x: x.permute(2, 0, 1), "transpose": lambda x: x.transpose(0, 2),
    "flatten": lambda x: x.flatten(1), "unsqueeze": lambda x: x.unsqueeze(1), "squeeze": lambda x: x[:, :1].squeeze(1),
    "expand": lambda x: x[:, :1].expand(-1, 5, -1), "repeat": lambda x: x.repeat(2, 1, 3), "slice": lambda x: x[:, 1:, ::2],
    "select": lambda x: x[:, 1], "narrow": lambda x: x.narrow(2, 1, 3), "split": lambda x: x.split(2, 2),
    "chunk": lambda x: x.chunk(2, -1), "unbind": lambda x: x.unbind(1), "cat": lambda x: torch.cat([x, x * 2], 1),
    "stack": lambda x: torch.stack([x, -x], 1), "flip": lambda x: x.flip(1), "roll": lambda x: x.roll(1, 2),
    "interleave_flip": lambda x: torch.stack([torch.cat([x[:1], x[1:] * 2]), x], 1).flatten(0, 1)[:3].flip(0),
    "pad": lambda x: F.pad(x, (1, 2, 0, 1)), "pad_value": lambda x: F.pad(x, (1, 1), value=3.0),
    "pad_reflect": lambda x: F.pad(x, (1, 2), mode="reflect"), "pad_replicate": lambda x: F.pad(x, (2, 1), mode="replicate"),
    "tril": lambda x: x.tril(), "triu": lambda x: x.triu(1), "diagonal": lambda x: x.diagonal(0, 1, 2),
    "unfold": lambda x: x.unfold(2, 2, 1), "pixel_shuffle": lambda x: F.pixel_shuffle(x.reshape(1, 4, 3, 3), 2),
}
class Prologue(nn.Module):
    """What comes before the product is computed in its kernel, tile by tile."""

    def __init__(self, k, n, dtype):
        super().__init__()
        self.linear = nn.Linear(k, n, dtype=dtype)
        self.scale = nn.Parameter(torch.rand(k, dtype=dtype))

    def forward(self, x):
        return torch.relu(self.linear(torch.tanh(x * self.scale + 0.5)))


def check_prologue(dtype):
    for k, n, m in ((61, 100, 110), (8, 128, 1), (1, 3, 7)):
        check(Prologue(k, n, dtype), (torch.randn(m, k).to(dtype),), {"x": {0: torch.export.Dim("m", max=500)}} if m > 2 else None,
              others=[(torch.randn(r, k).to(dtype),) for r in ((2, 300) if m > 2 else ())])


CREATION = {
    "arange": lambda x: x + torch.arange(x.shape[-1]), "zeros_like": lambda x: torch.zeros_like(x) + x,
    "full": lambda x: torch.full((3, 4), 2.5) * x.sum(), "ones": lambda x: torch.ones(x.shape[0], 1, 1) * x,
    "eye": lambda x: torch.eye(4) + x.sum(), "to_int": lambda x: (x * 10).to(torch.int64), "to_half": lambda x: x.half(),
    "to_bf16": lambda x: x.bfloat16(), "to_double": lambda x: x.double(), "to_bool": lambda x: x.to(torch.bool),
    "masked_fill": lambda x: x.masked_fill(x > 0, -1.0), "one_hot": lambda x: F.one_hot((x > 0).long(), 3),
    "linspace": lambda x: torch.linspace(0, 1, 4) + x.sum(), "scalar": lambda x: torch.tensor(2.0) * x,
}
INDEXING = {
    "embedding": (nn.Embedding(20, 6), (ints(20, 2, 5),)),
    "gather": (lambda x, i: x.gather(1, i), (floats(3, 5), ints(5, 3, 4))),
    "index_select": (lambda x, i: x.index_select(1, i), (floats(3, 5), ints(5, 4))),
    "index": (lambda x, i: x[i], (floats(6, 3), ints(6, 2, 4))),
    "index_two": (lambda x, i, j: x[i, j], (floats(4, 5), ints(4, 3), ints(5, 3))),
    "index_middle": (lambda x, i: x[:, i], (floats(4, 5, 2), ints(5, 3))),
    "index_copy": (lambda x, i, y: x.index_copy(1, i, y), (floats(2, 6, 3), torch.tensor([1, 4]), floats(2, 2, 3))),
    "index_add": (lambda x, i, y: x.index_add(0, i, y), (floats(4, 3), torch.tensor([1, 1, 2]), floats(3, 3))),
    "scatter": (lambda x, i, y: x.scatter(1, i, y), (floats(3, 5), torch.tensor([[0, 2], [1, 3], [4, 0]]), floats(3, 2))),
    "scatter_add": (lambda x, i, y: x.scatter_add(1, i, y), (floats(3, 5), ints(5, 3, 4), floats(3, 4))),
    "scatter_bool": (lambda x, i, y: (x.scatter_add(1, i, y), x.index_add(1, i[0], y), x.scatter_reduce(1, i, y, "amin"),
                                      x.scatter_reduce(1, i, y, "amax"), x.scatter_reduce(1, i, y, "prod"),
                                      F.pad(x, (1, 2), value=2.0)),
                     (ints(2, 3, 5, dtype=torch.bool), ints(5, 3, 4), ints(2, 3, 4, dtype=torch.bool))),
    "scatter_without_self": (lambda x, i, y, b, c: (*(x.scatter_reduce(1, i, y, how, include_self=False)
                                                      for how in ("amax", "amin", "sum", "prod")),
                                                    *(b.scatter_reduce(1, i, c, how, include_self=False) for how in ("amax", "amin"))),
                             (ints(9, 3, 5, low=-9, dtype=torch.int8), ints(5, 3, 4), ints(0, 3, 4, low=-9, dtype=torch.int8),
                              ints(2, 3, 5, dtype=torch.bool), ints(2, 3, 4, dtype=torch.bool))),
    "index_put": (lambda x, i, y: x.index_put((i,), y), (floats(5, 3), torch.tensor([0, 3]), floats(2, 3))),
    "topk": (lambda x: tuple(x.topk(3, -1)), (floats(4, 9),)),
    "sort": (lambda x: tuple(x.sort(-1)), (floats(4, 9),)),
    "take_along": (lambda x: torch.take_along_dim(x, x.argsort(-1), -1), (floats(3, 6),)),
}
CONTRACT = {
    "linear": (nn.Linear(13, 7), (floats(5, 13),)),
    "linear_3d": (nn.Linear(32, 48), (floats(2, 9, 32),)),
    "linear_no_bias": (nn.Linear(16, 33, bias=False), (floats(1, 16),)),
    "linear_large": (nn.Linear(384, 1536), (floats(65, 384),)),
    "mm": (torch.mm, (floats(7, 19), floats(19, 23))),
    "mm_transposed": (lambda a, b: a @ b.t(), (floats(7, 19), floats(23, 19))),
    "bmm": (torch.bmm, (floats(3, 7, 19), floats(3, 19, 23))),
    "matmul_broadcast": (torch.matmul, (floats(2, 3, 7, 5), floats(5, 6))),
    "matmul_4d": (torch.matmul, (floats(2, 3, 7, 16), floats(2, 3, 16, 9))),
    "matvec": (torch.mv, (floats(7, 5), floats(5))),
    "dot": (torch.dot, (floats(50), floats(50))),
    "outer": (torch.outer, (floats(5), floats(7))),
    "addmm": (torch.addmm, (floats(4), floats(3, 5), floats(5, 4))),
    "baddbmm": (lambda c, a, b: torch.baddbmm(c, a, b, beta=0.5, alpha=2.0), (floats(2, 3, 4), floats(2, 3, 5), floats(2, 5, 4))),
    "einsum": (lambda a, b: torch.einsum("bij,bkj->bik", a, b), (floats(2, 3, 4), floats(2, 5, 4))),
    "mlp_gelu": (nn.Sequential(nn.Linear(48, 96), nn.GELU(), nn.Linear(96, 48)), (floats(3, 48),)),
    "qkv": (lambda x, q, k, v: (x @ q, x @ k, x @ v), (floats(9, 32), floats(32, 32), floats(32, 32), floats(32, 32))),
}
CONVOLUTION = {
    "conv2d": (nn.Conv2d(3, 16, 3, padding=1), (floats(1, 3, 12, 12),)),
    "conv2d_stride": (nn.Conv2d(8, 24, 3, stride=2, padding=1, bias=False), (floats(2, 8, 15, 13),)),
    "conv2d_7x7": (nn.Conv2d(3, 64, 7, stride=2, padding=3), (floats(1, 3, 32, 32),)),
    "conv2d_1x1": (nn.Conv2d(32, 64, 1), (floats(1, 32, 7, 7),)),
    "conv2d_1x1_stride": (nn.Conv2d(32, 40, 1, stride=2), (floats(1, 32, 9, 9),)),
    "conv2d_dilated": (nn.Conv2d(4, 8, 3, dilation=2, padding=2), (floats(1, 4, 11, 11),)),
    "conv2d_groups": (nn.Conv2d(8, 12, 3, groups=4, padding=1), (floats(1, 8, 9, 9),)),
    "depthwise": (nn.Conv2d(24, 24, 3, groups=24, padding=1), (floats(1, 24, 14, 14),)),
    "depthwise_stride": (nn.Conv2d(16, 16, 5, groups=16, stride=2, padding=2), (floats(2, 16, 14, 14),)),
    "depthwise_multiplier": (nn.Conv2d(6, 12, 3, groups=6), (floats(1, 6, 8, 8),)),
    "conv1d": (nn.Conv1d(6, 10, 3, padding=1), (floats(2, 6, 20),)),
    "conv3d": (nn.Conv3d(2, 4, 3, padding=1), (floats(1, 2, 5, 6, 7),)),
    "conv_transpose2d": (nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, output_padding=1), (floats(1, 6, 7, 7),)),
    "conv_bn_relu": (nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()), (floats(1, 3, 10, 10),)),
    "max_pool": (nn.MaxPool2d(3, 2, 1), (floats(1, 4, 13, 13),)),
    "avg_pool": (nn.AvgPool2d(2), (floats(1, 4, 12, 12),)),
    "avg_pool_pad": (nn.AvgPool2d(3, 2, 1, count_include_pad=False), (floats(1, 4, 13, 13),)),
    "adaptive_avg_pool": (nn.AdaptiveAvgPool2d(1), (floats(2, 8, 7, 7),)),
    "adaptive_avg_pool_3": (nn.AdaptiveAvgPool2d(3), (floats(1, 4, 9, 9),)),
    "upsample_nearest": (lambda x: F.interpolate(x, scale_factor=2), (floats(1, 3, 5, 5),)),
    "upsample_bilinear": (lambda x: F.interpolate(x, size=(9, 7), mode="bilinear"), (floats(1, 3, 5, 5),)),
}
NORM = {
    "layer_norm": (nn.LayerNorm(32), (floats(3, 5, 32),)),
    "layer_norm_2": (nn.LayerNorm((5, 32)), (floats(3, 5, 32),)),
    "layer_norm_plain": (nn.LayerNorm(48, elementwise_affine=False), (floats(7, 48),)),
    "rms_norm": (nn.RMSNorm(32, eps=1e-5), (floats(4, 32),)),
    "group_norm": (nn.GroupNorm(4, 16), (floats(2, 16, 5, 5),)),
    # All results in half precision, the statistics too.
    "group_norm_half": (lambda x: torch.native_group_norm(x, None, None, 2, 8, 25, 4, 1e-5),
                        (floats(2, 8, 5, 5, dtype=torch.float16),)),
    "batch_norm": (nn.BatchNorm2d(6), (floats(2, 6, 5, 5),)),
    "batch_norm_1d": (nn.BatchNorm1d(6), (floats(4, 6),)),
    "instance_norm": (nn.InstanceNorm2d(6, affine=True), (floats(2, 6, 5, 5),)),
}
ATTENTION = {
    "sdpa": (F.scaled_dot_product_attention, (floats(2, 4, 9, 16), floats(2, 4, 11, 16), floats(2, 4, 11, 16))),
    "sdpa_64": (F.scaled_dot_product_attention, (floats(1, 2, 130, 64), floats(1, 2, 130, 64), floats(1, 2, 130, 64))),
    "sdpa_causal": (lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
                    (floats(1, 3, 17, 32), floats(1, 3, 17, 32), floats(1, 3, 17, 32))),
    "sdpa_mask": (lambda q, k, v, m: F.scaled_dot_product_attention(q, k, v, attn_mask=m),
                  (floats(2, 3, 7, 16), floats(2, 3, 9, 16), floats(2, 3, 9, 16), floats(2, 1, 7, 9))),
    "sdpa_bool_mask": (lambda q, k, v, m: F.scaled_dot_product_attention(q, k, v, attn_mask=m),
                       (floats(2, 3, 7, 16), floats(2, 3, 9, 16), floats(2, 3, 9, 16), torch.rand(2, 1, 7, 9) > 0.3)),
    "sdpa_gqa": (lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True),
                 (floats(1, 8, 5, 16), floats(1, 2, 5, 16), floats(1, 2, 5, 16))),
    "attention_by_hand": (lambda q, k, v: torch.softmax(q @ k.transpose(-2, -1) * 0.25, -1) @ v,
                          (floats(2, 4, 9, 16), floats(2, 4, 11, 16), floats(2, 4, 11, 16))),
    "encoder_layer": (nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True), (floats(2, 7, 32),)),
}


class Self(nn.Module):
    """First output of a recurrent layer and its last states."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        y, state = self.layer(x)
        return (y, *state) if isinstance(state, tuple) else (y, state)


RECURRENT = {
    "lstm": (Self(nn.LSTM(12, 16, batch_first=True)), (floats(2, 7, 12),)),
    "lstm_2": (Self(nn.LSTM(12, 16, num_layers=2)), (floats(5, 2, 12),)),
    "gru": (Self(nn.GRU(12, 16, batch_first=True)), (floats(2, 6, 12),)),
    "rnn": (Self(nn.RNN(12, 16, batch_first=True)), (floats(2, 6, 12),)),
}


def cases(table, inputs=None, **named):
    for name, value in table.items():
        function, args = value if inputs is None else (value, inputs())
        module = function if isinstance(function, nn.Module) else Op(function)
        yield name, lambda module=module, args=args: check(module, args, **named)


class Elementwise(unittest.TestCase):
    pass


class Reductions(unittest.TestCase):
    pass


class Layout(unittest.TestCase):
    pass


class Indexing(unittest.TestCase):
    pass


class Contract(unittest.TestCase):
    pass


class Convolution(unittest.TestCase):
    pass


class Norms(unittest.TestCase):
    pass


class Attention(unittest.TestCase):
    pass


class Recurrent(unittest.TestCase):
    pass


class Decomposed(unittest.TestCase):
    """The same after run_decompositions(): core ATen."""


add_cases(Contract, [(f"prologue_{str(dtype)[6:]}", lambda dtype=dtype: check_prologue(dtype))
                     for dtype in (torch.float32, torch.float64, torch.bfloat16)])
add_cases(Elementwise, cases(UNARY, lambda: (floats(3, 37),)))
add_cases(Elementwise, [("positive_" + n, f) for n, f in cases(POSITIVE, lambda: (torch.rand(3, 37) + 0.01,))])
add_cases(Elementwise, [("small_" + n, f) for n, f in cases(SMALL, lambda: (torch.rand(3, 37) * 1.8 - 0.9,))])
add_cases(Elementwise, cases(ACTIVATIONS, lambda: (floats(3, 38) * 3,)))
add_cases(Elementwise, cases(BINARY, lambda: (floats(3, 1, 8), floats(5, 8))))
add_cases(Elementwise, [("int_" + n, f) for n, f in cases(
    {n: BINARY[n] for n in ("add", "sub", "mul", "div", "maximum", "remainder", "floor_div", "trunc_div", "lt", "where")},
    lambda: (ints(50, 3, 8, low=-50), ints(9, 5, 1, 8, low=1)))])
add_cases(Elementwise, cases(CREATION, lambda: (floats(2, 3, 4),)))
add_cases(Reductions, cases(REDUCTIONS, lambda: (floats(3, 5, 17),)))
add_cases(Layout, cases(LAYOUT, lambda: (floats(2, 3, 6),)))
add_cases(Indexing, cases(INDEXING))
add_cases(Contract, cases(CONTRACT))
add_cases(Convolution, cases(CONVOLUTION, scaled=True))
add_cases(Norms, cases(NORM))
add_cases(Attention, cases(ATTENTION))
add_cases(Recurrent, cases(RECURRENT))
for table, scaled in ((NORM, False), (ATTENTION, False), ({k: CONTRACT[k] for k in ("linear_3d", "mlp_gelu", "baddbmm")}, False),
                      ({k: CONVOLUTION[k] for k in ("conv2d", "conv_bn_relu", "max_pool", "adaptive_avg_pool")}, True)):
    add_cases(Decomposed, cases(table, decompose=True, scaled=scaled))

if __name__ == "__main__":
    unittest.main()
