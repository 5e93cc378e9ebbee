"""Running combinations along lines of several blocks, against eager; bits for any number of threads and of lines."""

import unittest

import numpy as np

from harness import add_groups, assert_close, compile, eager, export, run, torch

torch.manual_seed(11)
INF, NAN = float("inf"), float("nan")
LINES = torch.randn(2, 5001)
COLUMNS = torch.randn(2500, 9)
INTS = torch.randint(-9, 9, (3, 2048))
HOLES = torch.where(torch.rand(2, 3000) > 0.999, NAN, torch.randn(2, 3000))
FACTORS = torch.cat([torch.zeros(1, 1), 4 * torch.rand(1, 3000)], 1)  # a block's product overflows, the running one is 0

# A block whose product is 2^-1126, which float64 has not, between two running products that it has.
SWINGS = torch.cat([torch.tensor([2.0 ** -1000]), 2 ** torch.linspace(0.2, 2, 1023).double(), 2 ** -torch.linspace(2, 0.2, 1024).double(),
                    torch.full((952,), -1.01)]).expand(2, 3000).clone()

CASES = {
    "cumsum": (lambda x: (x.cumsum(1), x.flip(1).cumsum(1).flip(1), x.cumsum(1).relu() * 2), (LINES,)),
    "cumsum_columns": (lambda x: (x.cumsum(0), x.T.contiguous().cumsum(1).T), (COLUMNS,)),
    "cumsum_one_column": (lambda x: x.cumsum(0), (torch.randn(3000, 1),)),
    "cumsum_double": (lambda x: x.double().cumsum(1), (LINES,)),
    "cumsum_half": (lambda x: (x.half().cumsum(1), x.bfloat16().cumsum(1)), (LINES / 8,)),
    "cumsum_ints": (lambda n: (n.cumsum(1), n.int().cumsum(1, dtype=torch.int32), n.to(torch.uint8).cumsum(1), (n > 0).cumsum(1)), (INTS,)),
    "cumsum_infinite": (lambda x: x.cumsum(1), (torch.cat([LINES[:, :1500], torch.tensor([[INF], [-INF]]), LINES[:, :2000]], 1),)),
    "cumsum_complex": (lambda x: torch.view_as_real(torch.complex(x, x.flip(1)).cumsum(1)), (LINES,)),
    "cumprod": (lambda x, n: (x.cumprod(1), (n * 2 + 1).cumprod(1)), (1 + LINES / 1000, INTS)),
    "cumprod_zero": (lambda x: x.cumprod(1), (FACTORS,)),
    "cumprod_far": (lambda x: (x.cumprod(1), x.T.contiguous().cumprod(0)), (SWINGS,)),
    "cumprod_odd": (lambda x: (x.cumprod(1), (x / x).cumprod(1)), (torch.cat([LINES[:, :1500].sign(), torch.tensor([[INF], [-INF]]), LINES[:, :2000] / 0.6], 1),)),
    "cummax": (lambda x: (*x.cummax(1), *x.cummin(1)), (HOLES,)),
    "cummax_ints": (lambda n: (*n.cummax(1), *n.cummin(0), *n.to(torch.int8).cummin(1)), (INTS,)),
    "logcumsumexp": (lambda x: (x.logcumsumexp(1), (x * 40).double().logcumsumexp(1)), (LINES,)),
    "logcumsumexp_infinite": (lambda x: x.logcumsumexp(1), (torch.where(LINES > 0.5, -INF, LINES),)),
}


class Scans(torch.nn.Module):
    def forward(self, x):
        return x.cumsum(1), x.cummax(1).values, x.logcumsumexp(1), x.cumsum(0)


class ScansTest(unittest.TestCase):
    def test_any_length(self):
        batch, length = torch.export.Dim("batch", max=64), torch.export.Dim("length", max=9000)
        path = compile(export(Scans(), (LINES,), dynamic_shapes=({0: batch, 1: length},), decompose=True))
        for shape in ((3, 2), (2, 1023), (2, 1024), (5, 1025), (2, 2048), (2, 8193)):
            x = torch.randn(shape)
            assert_close(run(path, (x,)), eager(Scans(), (x,)), factor=4)

    def test_same_bits(self):
        """For one, two and four threads, and for a line alone or among others."""
        path = compile(export(Scans(), (LINES,), dynamic_shapes=({0: torch.export.Dim.AUTO},), decompose=True))
        first = run(path, (LINES,))
        for threads in (2, 4):
            for a, b in zip(first, run(path, (LINES,), threads=threads)):
                self.assertTrue(np.array_equal(a, b))
        more = run(path, (torch.cat([LINES, torch.randn(9, 5001)]),), threads=2)
        for a, b in zip(first, more):
            self.assertTrue(np.array_equal(a, b[:2]))
        for batch in (2, 1):
            alone = compile(export(Scans(), (LINES[:batch],), decompose=True))
            for a, b in zip(first[:3], run(alone, (LINES[:batch],), threads=2)):
                self.assertTrue(np.array_equal(a[:batch], b))


add_groups(ScansTest, CASES, size=7, factor=4)

if __name__ == "__main__":
    unittest.main()
