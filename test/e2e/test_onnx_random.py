"""Random operators of ONNX: distributions, seeds, Dropout in training. Seeds are fixed, so nothing here depends on luck."""

import unittest

import numpy as np

from harness import command, new_path
from test_random import LIMIT, N, normal_cdf, session_of, uniform_distance

try:
    import onnx
    import onnx.parser
except ModuleNotFoundError as error:
    raise unittest.SkipTest(f"onnx is not installed: {error}") from None

HEAD = '<ir_version: 8, opset_import: ["" : 18]>\n'
DRAWS = f"""
    g (float[{N}] p, float[1,4] logs) =>
      (float[{N}] n, double[{N}] u, float16[{N}] nl, float[{N}] ul, float[{N}] b, int32[1,{N}] m, float[{N}] n2) {{
      n = RandomNormal<mean: float = 2.0, scale: float = 0.5, shape: ints = [{N}]>()
      u = RandomUniform<low: float = -1.0, high: float = 3.0, dtype: int = 11, shape: ints = [{N}]>()
      nl = RandomNormalLike<dtype: int = 10>(p)
      ul = RandomUniformLike(p)
      b = Bernoulli(p)
      m = Multinomial<sample_size: int = {N}>(logs)
      n2 = RandomNormal<mean: float = 2.0, scale: float = 0.5, shape: ints = [{N}]>()
    }}"""
SEEDED = f"""
    g (float[N] x) => (float[50] a, float[50] b, float[50] c, float[N] y) {{
      a = RandomNormal<seed: float = 3.0, shape: ints = [50]>()
      b = RandomNormal<seed: float = 3.0, shape: ints = [50]>()
      c = RandomNormal<seed: float = 4.0, shape: ints = [50]>()
      ratio = Constant<value_float: float = 0.25>()
      yes = Constant<value: tensor = bool {{1}}>()
      y = Dropout<seed: int = 7>(x, ratio, yes)
    }}"""
DROPOUT = """
    g (float[N] x, float ratio, bool trains) => (float[N] y, bool[N] mask, float[N] z, bool[N] all, float[N] again) {
      yes = Constant<value: tensor = bool {1}>()
      zero = Constant<value_float: float = 0.0>()
      y, mask = Dropout(x, ratio, trains)
      z, all = Dropout(x, zero, yes)
      again = Dropout(x, ratio, yes)
    }"""
IN_LOOPS = f"""
    g (float[{N}] x, int64 n, float[3] t, bool c) => (float[{N}] last, float[{N}] v, float[3,{N}] rows, float[{N}] y) {{
      go = Constant<value: tensor = bool {{1}}>()
      last = Loop (n, go, x) <body = b (int64 i, bool c0, float[{N}] v0) => (bool d, float[{N}] w) {{
        d = Identity(c0)
        w = RandomUniformLike(v0)
      }}>
      v, rows = Scan<num_scan_inputs: int = 1, body = s (float[{N}] v1, float k) => (float[{N}] v2, float[{N}] r) {{
        r = RandomUniform<shape: ints = [{N}]>()
        v2 = Add(v1, r)
      }}> (x, t)
      y = If (c) <then_branch = a () => (float[{N}] p) {{ p = RandomUniformLike(x) }},
                  else_branch = e () => (float[{N}] q) {{ q = Identity(x) }}>
    }}"""


def write(text):
    path = new_path(".onnx")
    onnx.save(onnx.parser.parse_model(HEAD + text), path)
    return path


def compiled(text):
    artifact = new_path(".tenon")
    status, message = command("compile", write(text), "-o", artifact, "--quiet")
    if status:
        raise AssertionError(f"tenon compile ended with status {status}: {message.strip()}")
    return artifact


class OnnxRandom(unittest.TestCase):
    def test_distributions(self):
        p = np.linspace(0, 1, N, dtype=np.float32)
        logs = np.log(np.array([[1, 1e-30, 3, 4]], np.float32))
        path = compiled(DRAWS)
        normal, uniform, like, uniform_like, bernoulli, positions, other = session_of(path, seed=1)(p, logs)
        for values in ((normal - 2) / 0.5, (other - 2) / 0.5, like.astype(np.float32)):
            self.assertLess(uniform_distance(normal_cdf(values)), LIMIT + 2e-3)
        self.assertTrue((uniform >= -1).all() and (uniform < 3).all())
        for values in ((uniform + 1) / 4, uniform_like):
            self.assertLess(uniform_distance(values), LIMIT)
        self.assertLess(abs(np.corrcoef(normal, other)[0, 1]), 4 / np.sqrt(N))  # two operators are independent
        self.assertEqual(set(np.unique(bernoulli)), {0, 1})
        self.assertLess(abs(bernoulli.mean() - 0.5), 0.02)
        self.assertLess(abs(bernoulli[: N // 2].mean() - 0.25), 0.02)
        self.assertEqual((positions.dtype, positions.shape), (np.int32, (1, N)))
        shares = np.bincount(positions[0], minlength=4) / N
        self.assertLess(np.abs(shares - [1 / 8, 0, 3 / 8, 4 / 8]).max(), 0.02)
        # Calls differ, seeds differ; the same seed gives the same numbers, whatever the number of threads.
        one, two = session_of(path, seed=1), session_of(path, threads=2, seed=1)
        first, second = one(p, logs)[0], one(p, logs)[0]
        self.assertTrue(np.array_equal(first, normal))
        self.assertTrue(np.array_equal(first, two(p, logs)[0]))
        self.assertFalse(np.array_equal(first, second))
        self.assertFalse(np.array_equal(first, session_of(path, seed=2)(p, logs)[0]))

    def test_seeds_of_the_model(self):
        x = np.ones(1000, np.float32)
        session = session_of(compiled(SEEDED))
        a, b, c, y = session(x)
        self.assertTrue(np.array_equal(a, b))
        self.assertFalse(np.array_equal(a, c))
        self.assertLess(abs(a.mean()), 0.6)
        for values, before in zip(session(x), (a, b, c, y)):
            self.assertTrue(np.array_equal(values, before))
        self.assertEqual(set(np.unique(y)), {np.float32(0), np.float32(1 / 0.75)})
        # A shorter input has the same mask.
        self.assertTrue(np.array_equal(session(x[:100])[3], y[:100]))

    def test_dropout(self):
        x = np.random.default_rng(0).standard_normal(N).astype(np.float32)
        session = session_of(compiled(DROPOUT), seed=5)
        y, mask, z, everything, again = session(x, np.float32(0.3), np.array(True))
        self.assertLess(abs(mask.mean() - 0.7), 0.02)
        np.testing.assert_allclose(y, np.where(mask, x / np.float32(0.7), 0), rtol=1e-6)
        self.assertTrue(np.array_equal(z, x) and everything.all())  # ratio 0 is the identity, bit for bit
        self.assertFalse(np.array_equal(again, y))
        # In inference, which the mode that is an input says, nothing is dropped.
        y, mask, z, everything, again = session(x, np.float32(0.3), np.array(False))
        self.assertTrue(np.array_equal(y, x) and mask.all())
        self.assertTrue((again == 0).any())

    def test_in_branches_and_loops(self):
        """Each turn has numbers of its own, and so has each call."""
        x, t = np.zeros(N, np.float32), np.zeros(3, np.float32)
        path = compiled(IN_LOOPS)
        session = session_of(path, seed=3)
        last, total, rows, chosen = session(x, np.array(2), t, np.array(True))
        for values in (last, *rows, chosen):
            self.assertLess(uniform_distance(values), LIMIT)
        np.testing.assert_allclose(total, rows.sum(0), rtol=1e-6)
        draws = np.stack([last, *rows, chosen, session_of(path, seed=3)(x, np.array(3), t, np.array(True))[0]])
        self.assertLess(np.abs(np.corrcoef(draws) - np.eye(len(draws))).max(), 5 / np.sqrt(N))
        again = session_of(path, threads=2, seed=3)(x, np.array(2), t, np.array(False))
        self.assertTrue(np.array_equal(again[0], last) and np.array_equal(again[2], rows) and not again[3].any())
        self.assertFalse(np.array_equal(session(x, np.array(2), t, np.array(True))[0], last))
