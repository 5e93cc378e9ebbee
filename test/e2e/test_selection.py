"""Order statistics, counts, searches, special functions, and places that depend on data, against eager."""

import unittest

from harness import add_groups, assert_close, compile, eager, export, run, torch

torch.manual_seed(5)
NAN, INF = float("nan"), float("inf")
X = torch.randn(4, 7)
TIES = torch.tensor([[2.0, 1, 2, 1, 3, 1, 2], [NAN, 1, 2, NAN, 0, 5, 5]])
SORTED = torch.sort(torch.randn(3, 6)).values
POSITIVE = torch.tensor([1e-3, 0.3, 0.5, 1, 1.5, 2, 2.5, 7, 30, 1e4, INF])
SIGNED = torch.tensor([-INF, -7.3, -4, -2.5, -1, -0.5, -1e-3, 0.0])
BOTH = torch.cat([SIGNED[1:], POSITIVE])


def index_reduce(reduce, include):
    return lambda x, i, s: x.index_reduce(1, i, s, reduce, include_self=include)



CASES = {
    "median": (lambda x: (x.median(), x.median(1).values, x.median(0, keepdim=True).values), (X,)),
    "median_nan": (lambda x: x.median(1), (TIES,)),
    "nanmedian": (lambda x: (x.nanmedian(), x.nanmedian(1).values), (TIES,)),
    "mode": (lambda x: x[:1].mode(1), (TIES,)),
    "mode_ints": (lambda x: x.mode(0, keepdim=True), (torch.randint(0, 3, (9, 4)),)),
    "kthvalue": (lambda x: x.kthvalue(3, 1), (X,)),
    "cummax": (lambda x: (x.cummax(1), x.cummin(0)), (TIES,)),
    "cummax_ints": (lambda x: x.cummax(1), (torch.randint(0, 4, (3, 8)),)),
    "logcumsumexp": (lambda x: (x * 40).logcumsumexp(1), (X,)),
    "logcumsumexp_infinite": (lambda x: x.logcumsumexp(0), (torch.tensor([-INF, -INF, 1.0, INF, 2.0]),)),
    "histc": (lambda x: (torch.histc(x, 5), torch.histc(x, 4, -1, 1)), (X,)),
    "searchsorted": (lambda s, v: (torch.searchsorted(s, v), torch.searchsorted(s, v, right=True)),
                     (SORTED, torch.cat([SORTED[:, :3], torch.randn(3, 2)], 1))),
    "searchsorted_sorter": (lambda s, v: torch.searchsorted(s, v, sorter=s.argsort()), (torch.randn(3, 6), torch.randn(3, 4))),
    "bucketize": (lambda v, s: (torch.bucketize(v, s), torch.bucketize(v, s, right=True, out_int32=True)),
                  (torch.tensor([NAN, -INF, 0.1, INF, 0.5]), torch.tensor([-1.0, 0.1, 0.5]))),
    "put": (lambda x, i, s: (x.put(i, s), x.put(i, s, accumulate=True)), (X, torch.tensor([[0, 27], [-2, 3]]), torch.randn(2, 2))),
    "diagonal_scatter": (lambda x, s: (torch.diagonal_scatter(x, s, 1), torch.diagonal_scatter(x, s[:3], -1)), (X, torch.randn(4))),
    "diagonal_scatter_middle": (lambda x, s: torch.diagonal_scatter(x, s, 0, 2, 0), (torch.randn(3, 4, 5), torch.randn(4, 3))),
    "adaptive_max_pool": (lambda x: torch.nn.functional.adaptive_max_pool2d(x, (3, 4), True), (torch.randint(0, 5, (2, 3, 7, 6)).float(),)),
    "max_pool_least": (lambda x, n: (torch.nn.functional.max_pool2d(x, 3, 2, 1, return_indices=True),
                                     torch.nn.functional.max_pool2d(x, 2, 2, 1, 3, return_indices=True),
                                     torch.nn.functional.max_pool2d(n, 3, 2, 1, return_indices=True)),
                       (torch.full((1, 2, 7, 7), -INF), torch.randint(-2**40, -2**33, (1, 2, 5, 6)))),
    "cdist": (lambda a, b: tuple(torch.cdist(a, b, p) for p in (0.0, 1.0, 1.5, 2.0, INF)), (torch.randn(2, 4, 3), torch.randn(5, 3))),
    "pdist": (lambda a: (torch.pdist(a), torch.pdist(a, 1.0), torch.pdist(a, INF)), (torch.randn(9, 3),)),
    "dist": (lambda a, b: (torch.dist(a, b), torch.dist(a, b, 1.0)), (X, torch.randn(7))),
    "masked_scatter_larger": (lambda x, m, s: x.masked_scatter(m, s), (torch.randn(5), torch.rand(3, 5) > 0.5, torch.randn(15))),
    "unfold_scalar": (lambda x: x.sum().unfold(0, 1, 1), (X,)),
    "repeat_interleave": (lambda x, r: torch.repeat_interleave(x, r, dim=0, output_size=6), (X[:3], torch.tensor([1, 0, 5]))),
    "lgamma": (torch.lgamma, (torch.cat([BOTH, torch.tensor([-INF])]),)),
    "lgamma_double": (torch.lgamma, (BOTH.double(),)),
    "digamma": (torch.digamma, (BOTH,)),
    "polygamma": (lambda x: tuple(torch.polygamma(n, x) for n in (1, 2, 4)), (POSITIVE[:-1],)),
    "zeta": (torch.special.zeta, (torch.tensor([[1.5], [2.0], [6.0], [1.0], [0.5]]), POSITIVE[:-1])),
    "erfcx": (torch.special.erfcx, (torch.tensor([-3.0, -1, 0, 1, 5, 24, 26, 300]),)),
}
# Operands that are constants of the program, not weights.
CASES.update({
    "matmul_constant": (lambda x: (x @ torch.tensor([[1.0, 2], [3, 4]]), torch.tensor([[0.5, -1], [2, 3]]).T @ x.T), (torch.randn(4, 2),)),
    "matmul_splat": (lambda x: x @ torch.full((7, 300), 0.5), (X,)),
    "conv_constant": (lambda x: (torch.nn.functional.conv1d(x, torch.tensor([[[1.0, 2, 1]], [[0, -1, 0]]])),
                                 torch.nn.functional.conv1d(x, torch.ones(3, 1, 4), groups=1)), (torch.randn(2, 1, 9),)),
    "attention_constant": (lambda q: torch.nn.functional.scaled_dot_product_attention(
        q, torch.ones(1, 2, 3, 4), torch.arange(24.0).reshape(1, 2, 3, 4)), (torch.randn(1, 2, 5, 4),)),
})
GRID = torch.rand(2, 3, 4, 2) * 3 - 1.5
for mode in ("bilinear", "nearest", "bicubic"):
    for padding in ("zeros", "border", "reflection"):
        CASES[f"grid_{mode}_{padding}"] = (
            lambda x, g, mode=mode, padding=padding: tuple(torch.nn.functional.grid_sample(x, g, mode, padding, a) for a in (False, True)),
            (torch.randn(2, 2, 5, 6), GRID))
CASES["grid_volume"] = (lambda x, g: torch.nn.functional.grid_sample(x, g, padding_mode="border", align_corners=False),
                        (torch.randn(1, 2, 3, 4, 5), torch.rand(1, 2, 3, 4, 3) * 3 - 1.5))
for name in ("mean", "prod", "amax", "amin"):
    for include in (True, False):
        CASES[f"index_reduce_{name}_{include}"] = (index_reduce(name, include),
                                                   (X, torch.tensor([0, 3, 0, 6]), torch.randn(4, 4)))


class FirstRows(torch.nn.Module):
    def forward(self, x, n):
        return x[: n.item()] * 2


class SelectionTest(unittest.TestCase):
    def test_slice_from_data(self):
        x = torch.randn(5, 3)
        path = compile(export(FirstRows(), (x, torch.tensor(2)), decompose=True))
        for n in (2, 0, 5, -1, 9, -9):
            n = torch.tensor(n)
            assert_close(run(path, (x, n)), eager(FirstRows(), (x, n)))


add_groups(SelectionTest, CASES)

if __name__ == "__main__":
    unittest.main()
