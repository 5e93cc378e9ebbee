"""Random operators: distributions, independence, seeds, threads. Seeds are fixed, so nothing here depends on luck."""

import unittest

import numpy as np
from harness import command, compile, export, new_path, run, torch

import torch.nn as nn
import tenon

N = 20000


def uniform_distance(values):
    """Kolmogorov-Smirnov: the largest distance between the values' distribution and that of [0, 1)."""
    x = np.sort(values.astype(np.float64).ravel())
    steps = np.arange(len(x) + 1) / len(x)
    return max(np.abs(steps[1:] - x).max(), np.abs(x - steps[:-1]).max())


def normal_cdf(x):
    return torch.special.ndtr(torch.from_numpy(x.astype(np.float64))).numpy()


# A test at the level 0.001.
LIMIT = 1.95 / np.sqrt(N)


class Continuous(nn.Module):
    def forward(self, x):
        half = torch.empty(N, dtype=torch.float16)
        return (torch.rand(N), torch.rand_like(x), torch.rand(N, dtype=torch.float64), torch.randn(N),
                torch.randn_like(x.double()), torch.normal(2 * torch.ones(N), 0.5), torch.empty(N).uniform_(-1, 3),
                torch.empty(N).exponential_(2.0), half.uniform_(), torch.empty(N).cauchy_(1.0, 2.0),
                torch.empty(N).log_normal_(0.5, 0.25))


class Discrete(nn.Module):
    def forward(self, x, p):
        return (torch.randint(3, 11, (N,)), torch.randint(-(2 ** 62), 2 ** 62, (N,)), torch.bernoulli(p),
                torch.bernoulli(x, 0.3), torch.randperm(1000), torch.multinomial(torch.tensor([1.0, 0.0, 3.0, 4.0]), N, True),
                torch.multinomial(p[:50] + 1, 20), torch.empty(N).geometric_(0.25),
                torch.randint(5, (3, 4), dtype=torch.int32))


class Dropout(nn.Module):
    def forward(self, x, image):
        f = nn.functional
        return (f.dropout(x, 0.25, True), f.dropout(x, 0.25, True), f.dropout(x, 0.5, False),
                f.dropout2d(image, 0.5, True), f.alpha_dropout(x, 0.1, True), f.rrelu(-x, 0.1, 0.3, True))


class Regions(nn.Module):
    """Random operators in a branch, in loops, and in a branch inside a loop."""

    def forward(self, x):
        from torch._higher_order_ops.scan import scan
        from torch._higher_order_ops.while_loop import while_loop
        branch = torch.cond(x.sum() > 0, lambda x: torch.rand_like(x), lambda x: -torch.rand_like(x), (x,))
        turns, total = while_loop(lambda i, t: i < 4, lambda i, t: (i + 1, t + torch.randn(t.shape)), (torch.tensor(0), x * 0))

        def step(carried, row):
            drawn = torch.cond(row.sum() > 0, lambda r: torch.rand_like(r), lambda r: r.clone(), (row,))
            return carried + drawn, drawn.clone()
        last, rows = scan(step, x[:100] * 0, x.reshape(-1, 100))
        return branch, total, last, rows


def session_of(path, threads=1, seed=None):
    program = tenon.Program(path)
    session = program.session(threads=threads)
    if seed is not None:
        session.seed(seed)
    return session


class RandomTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.x = torch.ones(N)
        cls.p = torch.linspace(0, 1, N)
        cls.continuous = compile(export(Continuous(), (cls.x,)))
        cls.discrete = compile(export(Discrete(), (cls.x, cls.p)))

    def check_moments(self, values, mean, deviation):
        values = values.astype(np.float64)
        self.assertLess(abs(values.mean() - mean), 4 * deviation / np.sqrt(N))
        self.assertLess(abs(values.std() / deviation - 1), 0.05)

    def test_continuous(self):
        rand, like, wide, randn, wide_normal, normal, uniform, exponential, half, cauchy, log_normal = \
            run(self.continuous, (self.x,))
        for values in (rand, like, wide):
            self.assertTrue((values >= 0).all() and (values < 1).all())
            self.assertLess(uniform_distance(values), LIMIT)
            self.check_moments(values, 0.5, np.sqrt(1 / 12))
        self.assertTrue((half >= 0).all() and (half < 1).all())
        self.assertLess(uniform_distance(half), LIMIT + 2 ** -11)
        for values in (randn, wide_normal):
            self.assertLess(uniform_distance(normal_cdf(values)), LIMIT)
            self.check_moments(values, 0, 1)
            self.assertLess(abs((values ** 4).mean() - 3), 0.3)
        self.assertLess(uniform_distance(normal_cdf((normal - 2) / 0.5)), LIMIT)
        self.assertLess(uniform_distance((uniform + 1) / 4), LIMIT)
        self.assertLess(uniform_distance(1 - np.exp(-2 * exponential)), LIMIT)
        self.assertLess(uniform_distance(np.arctan((cauchy - 1) / 2) / np.pi + 0.5), LIMIT)
        self.assertLess(uniform_distance(normal_cdf((np.log(log_normal) - 0.5) / 0.25)), LIMIT)
        # Neither between operators nor between neighbours is there a relation.
        for a, b in ((rand, like), (rand, wide), (rand[1:], rand[:-1]), (randn[1:], randn[:-1])):
            self.assertLess(abs(np.corrcoef(a, b)[0, 1]), 4 / np.sqrt(N))

    def test_discrete(self):
        small, large, chances, flips, order, drawn, distinct, tries, table = run(self.discrete, (self.x, self.p))
        counts = np.bincount(small - 3, minlength=8)
        self.assertEqual(len(counts), 8)
        self.assertLess(((counts - N / 8) ** 2 / (N / 8)).sum(), 24.3)  # chi squared, 7 degrees of freedom, 0.001
        self.assertLess(uniform_distance((large.astype(np.float64) + 2.0 ** 62) / 2.0 ** 63), LIMIT)
        self.assertLess(abs(chances.mean() - 0.5), 0.02)
        self.assertLess(abs(chances[: N // 2].mean() - 0.25), 0.02)
        self.assertLess(abs(flips.mean() - 0.3), 0.02)
        self.assertTrue(set(np.unique(flips)) == {0, 1})
        self.assertTrue(np.array_equal(np.sort(order), np.arange(1000)))
        self.assertLess(abs(np.corrcoef(order, np.arange(1000))[0, 1]), 0.13)
        shares = np.bincount(drawn, minlength=4) / N
        self.assertEqual(shares[1], 0)
        self.assertTrue(np.abs(shares - [1 / 8, 0, 3 / 8, 4 / 8]).max() < 0.02)
        self.assertEqual(len(set(distinct.tolist())), 20)
        self.assertTrue(tries.min() == 1 and abs(tries.mean() - 4) < 0.15)
        self.assertTrue(table.dtype == np.int32 and (table >= 0).all() and (table < 5).all())

    def test_dropout(self):
        x, image = torch.ones(N), torch.ones(50, 40, 3, 3)
        path = compile(export(Dropout(), (x, image), decompose=False))
        first, second, eval_mode, features, alpha, slopes = run(path, (x, image))
        for y in (first, second):
            self.assertEqual(set(np.unique(y)), {np.float32(0), np.float32(1 / 0.75)})
            self.assertLess(abs((y == 0).mean() - 0.25), 0.015)
        self.assertFalse(np.array_equal(first, second))
        self.assertTrue(np.array_equal(eval_mode, x.numpy()))
        whole = features.reshape(50 * 40, 9)
        self.assertTrue((whole == whole[:, :1]).all())
        self.assertLess(abs((whole[:, 0] == 0).mean() - 0.5), 0.05)
        self.assertEqual(len(np.unique(alpha)), 2)
        self.assertLess(uniform_distance((-slopes - 0.1) / 0.2), LIMIT)

    def test_regions(self):
        path = compile(export(Regions(), (self.x,)))
        session = session_of(path)
        branch, total, last, rows = first = session(self.x)
        self.assertLess(uniform_distance(branch), LIMIT)
        self.assertLess(uniform_distance(normal_cdf(total / 2)), LIMIT)  # four turns: were they alike, it would be wider
        self.assertLess(uniform_distance(rows), LIMIT)
        self.assertLess(np.abs(rows.sum(0) - last).max(), 1e-3)
        self.assertEqual(len(np.unique(rows[:, 0])), len(rows))
        self.assertLess(abs(np.corrcoef(rows[1:].ravel(), rows[:-1].ravel())[0, 1]), 4 / np.sqrt(N))
        second = session(self.x)
        self.assertFalse(any(np.array_equal(a, b) for a, b in zip(first, second)))
        negative = session_of(path)(-self.x)
        self.assertLess(uniform_distance(-negative[0]), LIMIT)
        for threads in (1, 3):
            self.assertTrue(all(np.array_equal(a, b) for a, b in zip(session_of(path, threads)(self.x), first)))

    def test_calls_and_seeds(self):
        same = lambda a, b: all(np.array_equal(x, y) for x, y in zip(a, b))
        session = session_of(self.continuous)
        first, second = session(self.x), session(self.x)
        self.assertFalse(any(np.array_equal(a, b) for a, b in zip(first, second)))
        session.reset()
        self.assertTrue(same(session(self.x), first))
        block = session.save()
        self.assertTrue(same(session(self.x), second))
        session.restore(block)
        self.assertTrue(same(session(self.x), second))
        for threads in (2, 4):
            self.assertTrue(same(session_of(self.continuous, threads)(self.x), first))
        seeded = session_of(self.continuous, seed=7)(self.x)
        self.assertFalse(any(np.array_equal(a, b) for a, b in zip(first, seeded)))
        self.assertTrue(same(session_of(self.continuous, 2, seed=7)(self.x), seeded))
        self.assertTrue(same(session_of(self.continuous, seed=0)(self.x), first))

    def test_driver(self):
        np.save(new := new_path(".npy"), self.x.numpy())
        out = new_path(".npy")
        status, text = command("run", self.continuous, f"--input=@{new}", f"--output=@{out}", "--seed=7")
        self.assertEqual(status, 0, text)
        self.assertTrue(np.array_equal(np.load(out), session_of(self.continuous, seed=7)(self.x)[0]))
        plain = compile(export(nn.ReLU(), (self.x,)))
        status, text = command("run", plain, f"--input=@{new}", "--seed=7")
        self.assertEqual(status, 1)
        self.assertIn("makes no random numbers", text)
        with self.assertRaises(tenon.Error):
            session_of(plain, seed=7)


if __name__ == "__main__":
    unittest.main()
