"""Operators of training graphs, complex numbers, and operands that are moved on their way into a product."""

import unittest

from harness import add_cases, check, torch

import torch.nn as nn
import torch.nn.functional as F

from test_ops import Op, cases, floats, ints

aten = torch.ops.aten


def conv_backward(stride, padding, dilation, transposed, extra, groups):
    def function(grad, x, weight):
        dims = x.dim() - 2
        return aten.convolution_backward(grad, x, weight, [grad.size(1)], [stride] * dims, [padding] * dims,
                                         [dilation] * dims, transposed, [extra] * dims, groups, [True, True, True])
    return function


def conv_case(x, weight, stride=1, padding=0, dilation=1, transposed=False, extra=0, groups=1):
    dims = x.dim() - 2
    y = aten.convolution(x, weight, None, [stride] * dims, [padding] * dims, [dilation] * dims, transposed,
                         [extra] * dims, groups)
    return conv_backward(stride, padding, dilation, transposed, extra, groups), (torch.randn_like(y), x, weight)


CONVOLUTION = {
    "plain": conv_case(floats(2, 3, 8, 9), floats(4, 3, 3, 3), padding=1),
    "strided": conv_case(floats(2, 4, 9, 8), floats(6, 4, 3, 3), stride=2, padding=1),
    "dilated": conv_case(floats(1, 3, 11), floats(4, 3, 3), dilation=2, padding=2),
    "grouped": conv_case(floats(2, 4, 7, 7), floats(6, 2, 3, 3), groups=2, padding=1),
    "depthwise": conv_case(floats(2, 5, 7, 7), floats(5, 1, 3, 3), groups=5, padding=1),
    "transposed": conv_case(floats(2, 4, 5, 6), floats(4, 3, 3, 3), stride=2, padding=1, extra=1, transposed=True),
}


def pool_backward(grad, x):
    y, at = F.max_pool2d(x, 3, 2, 1, return_indices=True)
    return aten.max_pool2d_with_indices_backward(grad, x, [3, 3], [2, 2], [1, 1], [1, 1], False, at)


def upsample_backward(name, *more):
    operator = getattr(aten, name)
    return lambda grad: operator(grad, [7, 9], [2, 3, 4, 5], *more)


POOLS = {
    "average": (lambda g, x: aten.avg_pool2d_backward(g, x, [3, 2], [2, 1], [1, 0], False, True, None),
                (floats(2, 3, 4, 6), floats(2, 3, 7, 7))),
    "average_inside": (lambda g, x: aten.avg_pool2d_backward(g, x, [3, 3], [2, 2], [1, 1], False, False, None),
                       (floats(2, 3, 4, 4), floats(2, 3, 7, 7))),
    "adaptive": (lambda g, x: aten._adaptive_avg_pool2d_backward(g, x), (floats(2, 3, 3, 2), floats(2, 3, 7, 5))),
    "max": (pool_backward, (floats(2, 3, 4, 4), floats(2, 3, 7, 7))),
    "nearest": (upsample_backward("upsample_nearest2d_backward"), (floats(2, 3, 7, 9),)),
    "bilinear": (upsample_backward("upsample_bilinear2d_backward", False), (floats(2, 3, 7, 9),)),
}


def layer_norm_backward(grad, x, weight, bias):
    y, mean, rstd = aten.native_layer_norm(x, [6], weight, bias, 1e-5)
    return aten.native_layer_norm_backward(grad, x, [6], mean, rstd, weight, bias, [True, True, True])


def group_norm_backward(grad, x, weight, bias):
    y, mean, rstd = aten.native_group_norm(x, weight, bias, 2, 4, 15, 2, 1e-5)
    return aten.native_group_norm_backward(grad, x, mean, rstd, weight, 2, 4, 15, 2, [True, True, True])


def batch_norm_backward(grad, x, weight, mean, rstd):
    return aten.native_batch_norm_backward(grad, x, weight, None, None, mean, rstd, True, 1e-5, [True, True, True])


NORMS = {
    "layer": (layer_norm_backward, (floats(2, 5, 6), floats(2, 5, 6), floats(6), floats(6))),
    "group": (group_norm_backward, (floats(2, 4, 3, 5), floats(2, 4, 3, 5), floats(4), floats(4))),
    "batch": (batch_norm_backward, (floats(2, 4, 3, 5), floats(2, 4, 3, 5), floats(4), floats(4), floats(4).abs())),
    "softmax": (lambda g, y: aten._softmax_backward_data(g, y.softmax(1), 1, torch.float32), (floats(3, 7, 2), floats(3, 7, 2))),
    "log_softmax": (lambda g, y: aten._log_softmax_backward_data(g, y.log_softmax(-1), -1, torch.float32), (floats(3, 7), floats(3, 7))),
    "embedding": (lambda g, i: aten.embedding_dense_backward(g, i, 8, 2, False), (floats(3, 4, 5), ints(8, 3, 4))),
    "embedding_by_use": (lambda g, i: aten.embedding_dense_backward(g, i, 8, -1, True), (floats(3, 4, 5), ints(8, 3, 4))),
}

POINTWISE = {
    name: (lambda g, x, name=name, more=more: getattr(aten, name)(g, x, *more), (floats(3, 38), floats(3, 38) * 3))
    for name, *more in (
        ("gelu_backward",), ("silu_backward",), ("mish_backward",), ("tanh_backward",), ("sigmoid_backward",),
        ("hardswish_backward",), ("hardsigmoid_backward",), ("threshold_backward", 0), ("hardtanh_backward", -1, 1),
        ("leaky_relu_backward", 0.1, False), ("softplus_backward", 1, 20),
        ("softshrink_backward", 0.5))
}
POINTWISE["elu_backward"] = (lambda g, x: aten.elu_backward(g, 1.5, 1.0, 1.0, False, x), (floats(3, 38), floats(3, 38)))
POINTWISE["glu_backward"] = (lambda g, x: aten.glu_backward(g, x, 1), (floats(3, 5), floats(3, 10)))
POINTWISE["mse_loss_backward"] = (lambda g, x, y: aten.mse_loss_backward(g, x, y, 1), (torch.tensor(0.7), floats(4, 5), floats(4, 5)))
POINTWISE["nll_loss_backward"] = (
    lambda g, x, y, t: aten.nll_loss_backward(g, x, y, None, 1, -100, t),
    (torch.tensor(0.7), floats(4, 5), torch.tensor([1, -100, 0, 4]), torch.tensor(3.0)))

COMPLEX = {
    "in_and_out": (lambda z: (z * z.conj() + 2j * z, z.abs()), (floats(3, 5, dtype=torch.complex64),)),
    "product": (lambda a, b: a @ b, (floats(3, 5, dtype=torch.complex64), floats(5, 4, dtype=torch.complex64))),
    "functions": (lambda z: (z.exp(), z.sqrt(), z.log(), z.tanh(), z / (z + 2)), (floats(4, 6, dtype=torch.complex64),)),
    "moved": (lambda z: torch.cat([z.transpose(0, 1)[1:], z.transpose(0, 1)[:1] * 1j]).sum(0), (floats(3, 5, dtype=torch.complex64),)),
    "where": (lambda z: torch.where(z.real > 0, z, z.conj()), (floats(9, dtype=torch.complex64),)),
    "prod": (lambda z: z.prod(1), (floats(3, 7, dtype=torch.complex64),)),
    "rotary": (lambda x: torch.view_as_real(torch.view_as_complex(x) * torch.polar(torch.ones(4, 3), torch.arange(12.).reshape(4, 3))),
               (floats(2, 4, 3, 2),)),
    "fft": (lambda x: (torch.fft.rfft(x), torch.fft.ifft(torch.fft.fft(x) * 2).real), (floats(3, 12),)),
}


class Weighted(nn.Module):
    """A complex weight."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(6, 4, dtype=torch.complex64))

    def forward(self, x):
        return torch.view_as_real(torch.complex(x, -x) @ self.w)


COMPLEX["weight"] = (Weighted(), (floats(3, 6),))


class MovedConv(nn.Module):
    """The input of a convolution with one channel is transposed in its plane."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)

    def forward(self, x):
        return self.conv(x.unsqueeze(1).transpose(2, 3))


MOVED = {
    "conv_input": (MovedConv(), (floats(2, 7, 9),)),
    "rows_behind_a_reshape": (lambda a, b, w: torch.bmm(a, b).transpose(0, 1).reshape(12, 16) @ w,
                              (floats(8, 6, 6), floats(8, 6, 4), floats(16, 5))),
    "one_column": (lambda a, x: torch.bmm(a, x.reshape(3, 1, 8).expand(3, 2, 8).reshape(6, 8, 1)), (floats(6, 5, 8), floats(3, 8))),
    "one_result": (nn.Linear(8, 1), (floats(2, 3, 8),)),
    "repeated_weight": (lambda x, w: torch.bmm(x, w.expand(3, 8, 5)), (floats(3, 4, 8), floats(8, 5))),
}


class Gradients(unittest.TestCase):
    pass


class Complex(unittest.TestCase):
    pass


class Moved(unittest.TestCase):
    pass


for table, prefix in ((CONVOLUTION, "conv_"), (POOLS, "pool_"), (NORMS, ""), (POINTWISE, "")):
    add_cases(Gradients, [(prefix + name, test) for name, test in cases(table, scaled=True)])
add_cases(Complex, cases(COMPLEX, scaled=True))
add_cases(Moved, cases(MOVED, scaled=True))

if __name__ == "__main__":
    unittest.main()
