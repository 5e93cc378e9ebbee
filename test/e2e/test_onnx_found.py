"""ONNX models whose sizes are known only when they run: found, bounded, or declared and checked; and n-grams. Beside the
onnx package's reference evaluator."""

import unittest

import numpy as np

from harness import command, compile, new_path, run

try:
    import onnx
    import onnx.parser
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator
except ModuleNotFoundError as error:
    raise unittest.SkipTest(f"onnx is not installed: {error}") from None

import tenon

HEAD = '<ir_version: 8, opset_import: ["" : 18]>\n'
RNG = np.random.default_rng(0)


def parse(text):
    return onnx.parser.parse_model(HEAD + text)


def save(model):
    path = new_path(".onnx")
    onnx.save(model, path)
    return path


def check(model, calls):
    """One compilation; every call as the reference evaluator has it."""
    path, evaluator = compile(save(model)), ReferenceEvaluator(model)
    names = [value.name for value in model.graph.input]
    for values in calls:
        want = evaluator.run(None, dict(zip(names, values)))
        got = run(path, values)
        for g, w in zip(got, want, strict=True):
            np.testing.assert_allclose(g, np.asarray(w), rtol=1e-5, atol=1e-6, strict=True)
    return path


def long(*values):
    return np.array(values, np.int64)


SLICE = """
    g (float[N,6] x, int64[2] starts, int64[2] ends, int64[2] steps) => (float[M,K] y, float[L,6] z) {
      y = Slice(x, starts, ends, , steps)
      one = Constant<value_ints: ints = [1]>()
      zero = Constant<value_ints: ints = [0]>()
      n = ReduceMax<keepdims: int = 1>(ends)
      part = Slice(x, one, n, zero)
      z = Neg(part)
    }"""
SPLIT = """
    g (float[N,2] x, int64[3] parts) => (float[A,2] a, float[B,2] b, float[C,2] c, int64 count, float[2] last) {
      a, b, c = Split(x, parts)
      s = SplitToSequence(x, parts)
      count = SequenceLength(s)
      two = Constant<value_int: int = 2>()
      zero = Constant<value_ints: ints = [0]>()
      third = SequenceAt(s, two)
      last = ReduceSum<keepdims: int = 0>(third, zero)
    }"""
# The model says 4 slices, and that result has 3 rows.
LOOP = """
    g (float[3] x, int64 n, float limit) => (float[3] y, float[4,3] all) {{
      go = Constant<value: tensor = bool {{1}}>()
      y, all = Loop ({trips}, go, x) <body = b (int64 i, bool c, float[3] v) => (bool d, float[3] w, float[3] s) {{
        {condition}
        one = Constant<value_float: float = 1.0>()
        w = Add(v, one)
        s = Identity(w)
      }}>
    }}"""
WHILE = "first = Constant<value: tensor = int64[1] {0}>() v0 = Gather(v, first) r = Squeeze(v0) d = Less(r, limit)"
# Sizes that are found in a loop and in a branch, and do not leave it.
IN_LOOP = """
    g (float[4] x, int64 n) => (float[4] y) {
      go = Constant<value: tensor = bool {1}>()
      y = Loop (n, go, x) <body = b (int64 i, bool c, float[4] v) => (bool d, float[4] w) {
        d = Identity(c)
        half = Constant<value_float: float = 0.5>()
        more = Greater(v, half)
        at = NonZero(more)
        f = Cast<to: int = 1>(at)
        s = ReduceSum<keepdims: int = 0>(f)
        w = Sub(v, s)
      }>
    }"""
IN_BRANCH = """
    g (float[4] x, bool c) => (float y) {
      y = If (c) <then_branch = t () => (float a) { u, i, j, k = Unique(x)  a = ReduceSum<keepdims: int = 0>(u) },
                  else_branch = e () => (float b) { b = ReduceSum<keepdims: int = 0>(x) }>
    }"""
LEAVES_LOOP = """
    g (float[4] x, int64 n) => (float[4] y, int64[3,1,K] all) {
      go = Constant<value: tensor = bool {1}>()
      y, all = Loop (n, go, x) <body = b (int64 i, bool c, float[4] v) => (bool d, float[4] w, int64[1,L] at) {
        d = Identity(c)
        w = Neg(v)
        at = NonZero(v)
      }>
    }"""
LEAVES_BRANCH = """
    g (float[4] x, bool c) => (float[M] y) {
      y = If (c) <then_branch = t () => (float[K] a) { a, i, j, k = Unique(x) },
                  else_branch = e () => (float[4] b) { b = Neg(x) }>
    }"""
# Slices of a loop: their size is found, and that of what leaves the loop is declared.
SLICE_IN_LOOP = """
    g (float[6] x, int64 n, float[2] z) => (float[2] y, float[3,2] all) {
      go = Constant<value: tensor = bool {1}>()
      y, all = Loop (n, go, z) <body = b (int64 i, bool c, float[2] v) => (bool d, float[2] w, float[2] s) {
        d = Identity(c)
        two = Constant<value_int: int = 2>()
        one = Constant<value_int: int = 1>()
        zero = Constant<value_ints: ints = [0]>()
        k = Mul(i, two)
        low = Add(k, one)
        high = Add(low, two)
        start = Unsqueeze(low, zero)
        end = Unsqueeze(high, zero)
        part = Slice(x, start, end)
        w = Add(v, part)
        s = Identity(w)
      }>
    }"""


class OnnxFound(unittest.TestCase):
    def test_slice(self):
        x = RNG.standard_normal((7, 6)).astype(np.float32)
        check(parse(SLICE), [
            (x, long(1, 2), long(4, 5), long(1, 1)), (x, long(-3, 0), long(100, -1), long(2, 3)),
            (x, long(6, 100), long(-100, 1), long(-2, -1)), (x, long(5, 3), long(2, 3), long(1, 1)),
            (x[:1], long(0, -2), long(1, 9), long(1, 1))])

    def test_slice_declared(self):
        """A declaration holds in every call, or the call fails."""
        model = parse("""g (float[9] x, int64[1] starts, int64[1] ends) => (float[3] y) { y = Slice(x, starts, ends) }""")
        x = RNG.standard_normal(9).astype(np.float32)
        path = check(model, [(x, long(2), long(5)), (x, long(-3), long(20))])
        with self.assertRaisesRegex(tenon.Error, "'y.declared' is 4 but must be in 3"):
            run(path, (x, long(2), long(6)))
        model = parse("""g (float[9] x, float[N] like, int64[1] starts, int64[1] ends) => (float[N] y) {
            y = Slice(x, starts, ends) }""")
        path = check(model, [(x, x[:3], long(2), long(5)), (x, x[:4], long(0), long(4))])
        with self.assertRaisesRegex(tenon.Error, "'y.beyond_declared' is 1 but must be in 0"):
            run(path, (x, x[:3], long(2), long(6)))

    def test_pad_declared(self):
        x = RNG.standard_normal((2, 3)).astype(np.float32)
        model = parse("g (float[2,3] x, int64[4] pads) => (float[4,6] y) { y = Pad(x, pads) }")
        path = check(model, [(x, long(1, 2, 1, 1)), (x, long(0, 3, 2, 0))])
        with self.assertRaisesRegex(tenon.Error, "'y.declared.0' is 5 but must be in 6"):
            run(path, (x, long(1, 1, 1, 1)))

    def test_slice_in_loop(self):
        x = RNG.standard_normal(8).astype(np.float32)
        model = parse(SLICE_IN_LOOP.replace("float[6] x", "float[N] x"))
        declared = parse(SLICE_IN_LOOP.replace("float[6] x", "float[N] x").replace("end = Uns", "e = Uns").replace(
            "part = Slice(x, start, end)", "last = ReduceMax(e, zero) part = Slice(x, start, last) keep = Identity(part)"))
        info = onnx.helper.make_tensor_value_info("part", TensorProto.FLOAT, [2])
        declared.graph.node[-1].attribute[0].g.value_info.append(info)
        for text in (model, declared):
            path = check(text, [(x, np.array(3), x[:2]), (x[:7], np.array(3), x[:2])])
            # The third step would take one element, or none: an error, and no wrong number.
            for short in (6, 5):
                with self.assertRaises(tenon.Error):
                    run(path, (x[:short], np.array(3), x[:2]))

    def test_split(self):
        x = RNG.standard_normal((9, 2)).astype(np.float32)
        path = check(parse(SPLIT), [(x, long(2, 3, 4)), (x, long(0, 9, 0)), (x[:3], long(1, 1, 1))])
        for parts in ((2, 3, 5), (2, 3, 3), (-1, 5, 5)):
            with self.subTest(parts), self.assertRaises(tenon.Error):
                run(path, (x, long(*parts)))

    def test_split_along_a_symbol(self):
        model = parse("""g (float[N] x) => (float[P] y) {
            parts = Constant<value_ints: ints = [2, 3]>()
            s = SplitToSequence(x, parts)
            one = Constant<value_int: int = 1>()
            y = SequenceAt(s, one) }""")
        x = RNG.standard_normal(5).astype(np.float32)
        path = compile(save(model))
        np.testing.assert_array_equal(run(path, (x,))[0], x[2:])
        with self.assertRaises(tenon.Error):
            run(path, (x[:4],))

    def test_loop_that_lies(self):
        x, far = np.zeros(3, np.float32), np.float32(100)
        models = {
            "trips": (LOOP.format(trips="n", condition="d = Identity(c)"), [(x, np.array(4), far)],
                      [(x, np.array(3), far), (x, np.array(5), far), (x, np.array(0), far)]),
            "condition": (LOOP.format(trips="n", condition=WHILE), [(x, np.array(4), far), (x, np.array(9), np.float32(2.5))],
                          [(x, np.array(5), far), (x, np.array(9), np.float32(1.5)), (x, np.array(9), np.float32(3.5)),
                           (x, np.array(2), far)]),
            "condition_alone": (LOOP.format(trips="", condition=WHILE), [(x, np.array(0), np.float32(2.5))],
                                [(x, np.array(0), np.float32(1.5)), (x, np.array(0), far)]),
        }
        for name, (text, good, bad) in models.items():
            with self.subTest(name):
                path = check(parse(text), good)
                for values in bad:
                    with self.assertRaisesRegex(tenon.Error, "y.declared"):
                        run(path, values)

    def test_found_inside(self):
        x = np.array([1, 0, 1, 2], np.float32)
        check(parse(IN_LOOP), [(x, np.array(n)) for n in (0, 1, 5)])
        check(parse(IN_BRANCH), [(x, np.array(True)), (np.zeros(4, np.float32), np.array(True)), (x, np.array(False))])

    def test_found_leaves_a_branch(self):
        x = np.array([1, 0, 1, 2], np.float32)
        check(parse(LEAVES_BRANCH), [(x, np.array(True)), (x, np.array(False)), (np.ones(4, np.float32), np.array(True))])

    def test_found_leaves_a_loop(self):
        status, message = command("compile", save(parse(LEAVES_LOOP)), "-o", new_path(".tenon"), "--quiet")
        self.assertEqual(status, 3, message)
        self.assertIn("'Loop', 1 time: with a result whose size is found inside of it", message)

    def test_optional_input(self):
        value = helper.make_tensor_type_proto(TensorProto.FLOAT, ["N"])
        graph = helper.make_graph(
            [helper.make_node("OptionalGetElement", ["o"], ["e"]), helper.make_node("Neg", ["e"], ["y"])], "g",
            [helper.make_value_info("o", helper.make_optional_type_proto(value))], [helper.make_value_info("y", value)])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
        check(model, [(RNG.standard_normal(5).astype(np.float32),)])
        # Whether it is there is nothing that is known while compiling.
        graph.node.extend([helper.make_node("Identity", ["o"], ["p"]), helper.make_node("OptionalHasElement", ["p"], ["h"])])
        graph.output.append(helper.make_tensor_value_info("h", TensorProto.BOOL, []))
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
        status, message = command("compile", save(model), "-o", new_path(".tenon"), "--quiet")
        self.assertEqual(status, 3, message)
        self.assertIn("'OptionalHasElement', 1 time: of an input that may be missing", message)


class Ngrams(unittest.TestCase):
    def model(self, shape, element, **attributes):
        rank = len(shape)
        size = max(attributes["ngram_indexes"]) + 1
        node = helper.make_node("TfIdfVectorizer", ["x"], ["y"], **attributes)
        out = [size] if rank < 2 else [shape[0], size]
        graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", element, shape)],
                                  [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)

    def test_modes(self):
        # Single elements, pairs and triples; places in the result are neither in order nor all of them used.
        pools = dict(pool_int64s=[1, 2, 5, 1, 2, 2, 2, 3, 1, 1, 2, 3, 2, 1, 2], ngram_counts=[0, 3, 9],
                     ngram_indexes=[4, 0, 9, 1, 3, 2, 5, 7])
        weights = [float(w) for w in np.linspace(0.5, 2, 10).astype(np.float32)]
        rows = RNG.integers(0, 5, (4, 12))
        for mode, least, most, skips in (("TF", 1, 3, 2), ("IDF", 1, 2, 0), ("TFIDF", 2, 3, 5), ("IDF", 1, 1, 3)):
            with self.subTest(mode, least=least, most=most, skips=skips):
                attributes = dict(pools, mode=mode, min_gram_length=least, max_gram_length=most, max_skip_count=skips,
                                  weights=weights)
                check(self.model(["N", "C"], TensorProto.INT64, **attributes), [(rows,), (rows[:1, :2],)])
        check(self.model(["C"], TensorProto.INT32, mode="TF", min_gram_length=1, max_gram_length=3, max_skip_count=1, **pools),
              [(rows[0].astype(np.int32),), (rows[0, :1].astype(np.int32),), (np.zeros(0, np.int32),)])
