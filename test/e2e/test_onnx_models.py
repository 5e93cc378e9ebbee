"""Small ONNX models beside the onnx package's reference evaluator: control flow, loops of data, sequences, sizes; and
com.microsoft operators beside ONNX Runtime, where that is installed."""

import unittest

import numpy as np

from harness import command, new_path

try:
    import onnx
    import onnx.parser
    from onnx.reference import ReferenceEvaluator
except ModuleNotFoundError as error:
    raise unittest.SkipTest(f"onnx is not installed: {error}") from None

RNG = np.random.default_rng(0)


def floats(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def run_tenon(model, inputs, count):
    path, artifact = new_path(".onnx"), new_path(".tenon")
    onnx.save(model, path)
    status, text = command("compile", path, "-o", artifact, "--quiet")
    if status:
        raise AssertionError(f"tenon compile ended with status {status}: {text.strip()}")
    results = []
    for values in inputs:
        arguments, outputs = [], [new_path(".npy") for _ in range(count)]
        for value in values:
            file = new_path(".npy")
            np.save(file, value)
            arguments.append(f"--input=@{file}")
        status, text = command("run", artifact, *arguments, *[f"--output=@{file}" for file in outputs])
        if status:
            raise AssertionError(f"tenon run ended with status {status}: {text.strip()}")
        results.append([np.load(file) for file in outputs])
    return results


def compare(got, want, tolerance=1e-4):
    for g, w in zip(got, want, strict=True):
        w = np.asarray(w)
        assert (g.shape, g.dtype) == (w.shape, w.dtype), (g.shape, g.dtype, w.shape, w.dtype)
        np.testing.assert_allclose(g, w, rtol=tolerance, atol=tolerance)


# Each: a model as text, the inputs of each call, and perhaps what it computes where the evaluator does not know that.
HEAD = '<ir_version: 8, opset_import: ["" : 18]>\n'
MODELS = {
    "if_of_data": ("""
        agraph (bool c, float[3,4] x) => (float[3,4] y) {
          y = If (c) <then_branch = t () => (float[3,4] a) { a = Relu(x) },
                      else_branch = e () => (float[3,4] b) { two = Constant<value_float: float = 2.0>()  b = Mul(x, two) }>
        }""", [(np.array(True), floats(3, 4)), (np.array(False), floats(3, 4))]),
    "running_sums": ("""
        agraph (float[2,3000] x, double[2,3000] d) => (float[2,3000] a, float[2,3000] b, double[2,3000] c, float[2,3000] e) {
          one = Constant<value_int: int = 1>()
          a = CumSum<exclusive: int = 1>(x, one)
          b = CumSum<reverse: int = 1>(x, one)
          c = CumSum<exclusive: int = 1, reverse: int = 1>(d, one)
          zero = Constant<value_int: int = 0>()
          e = CumSum<reverse: int = 1>(x, zero)
        }""", [(floats(2, 3000), floats(2, 3000).astype(np.float64))]),
    "if_of_sizes": ("""
        agraph (float[N,4] x) => (float[M] y) {
          s = Shape<start: int = 1>(x)
          four = Constant<value_ints: ints = [4]>()
          c = Equal(s, four)
          y = If (c) <then_branch = t () => (float[M] a) { m = Constant<value_ints: ints = [-1]>()  a = Reshape(x, m) },
                      else_branch = e () => (float[M] b) { ax = Constant<value_ints: ints = [1]>()
                                                           b = ReduceSum<keepdims: int = 0>(x, ax) }>
        }""", [(floats(3, 4),), (floats(5, 4),)]),
    "loop_while": ("""
        agraph (float[4] x, int64 n) => (float[4] y, int64 steps) {
          zero = Constant<value_int: int = 0>()
          go = Constant<value: tensor = bool {1}>()
          y, steps = Loop (n, go, x, zero) <body = b (int64 i, bool c, float[4] v, int64 k) => (bool d, float[4] w, int64 l) {
            one = Constant<value_int: int = 1>()
            l = Add(k, one)
            w = Add(v, x)
            sum = ReduceSum<keepdims: int = 0>(w)
            limit = Constant<value_float: float = 40.0>()
            d = Less(sum, limit)
          }>
        }""", [(np.full(4, 1, np.float32), np.array(3)), (np.full(4, 1, np.float32), np.array(100)),
               (np.full(4, 1, np.float32), np.array(0))]),
    "loop_stacks": ("""
        agraph (float[3] x) => (float[3] y, float[40,3] all) {
          n = Constant<value_int: int = 40>()
          go = Constant<value: tensor = bool {1}>()
          y, all = Loop (n, go, x) <body = b (int64 i, bool c, float[3] v) => (bool d, float[3] w, float[3] s) {
            d = Identity(c)
            h = Constant<value_float: float = 0.5>()
            f = Cast<to: int = 1>(i)
            k = Mul(v, h)  w = Add(k, f)  s = Neg(w)  u1 = Abs(w) u2 = Abs(u1) u3 = Abs(u2) u4 = Abs(u3) u5 = Abs(u4)
            u6 = Abs(u5) u7 = Abs(u6) u8 = Abs(u7) u9 = Abs(u8)
          }>
        }""", [(floats(3),)]),
    "loop_grows": ("""
        agraph (float[2,3] x) => (float[8,3] y) {
          n = Constant<value_int: int = 3>()
          go = Constant<value: tensor = bool {1}>()
          y = Loop (n, go, x) <body = b (int64 i, bool c, float[K,3] v) => (bool d, float[L,3] w) {
            d = Identity(c)
            w = Concat<axis: int = 0>(v, x)
          }>
        }""", [(floats(2, 3),)]),
    "scan_axes": ("""
        agraph (float[2] s, float[2,5] x) => (float[2] t, float[2,5] y) {
          t, y = Scan (s, x) <num_scan_inputs: int = 1, scan_input_axes: ints = [1], scan_output_axes: ints = [1],
                              scan_input_directions: ints = [1], scan_output_directions: ints = [1],
                              body = b (float[2] a, float[2] v) => (float[2] c, float[2] d) {
            c = Add(a, v)
            d = Mul(c, s)
          }>
        }""", [(floats(2), floats(2, 5))],
        lambda s, x: (s + x.sum(1), (s[:, None] + x[:, ::-1].cumsum(1)[:, ::-1]) * s[:, None])),
    "nested": ("""
        agraph (float[3] x, int64 n) => (float[3] y) {
          go = Constant<value: tensor = bool {1}>()
          y = Loop (n, go, x) <body = b (int64 i, bool c, float[3] v) => (bool d, float[3] w) {
            d = Identity(c)
            two = Constant<value_int: int = 2>()
            m = Mod(i, two)
            odd = Cast<to: int = 9>(m)
            w = If (odd) <then_branch = t () => (float[3] a) { a = Add(v, x) },
                          else_branch = e () => (float[3] b1) { b1 = Mul(v, x) }>
          }>
        }""", [(floats(3), np.array(5))]),
    "expand_by_choice": ("""
        agraph (float[N,1] x, float[N,3] z) => (float[N,3] y) {
          s = Shape(z)
          shape = Constant<value_ints: ints = [-1, 3]>()
          m = Constant<value_ints: ints = [-1, -1]>()
          isOpen = Equal(shape, m)
          w = Where(isOpen, s, shape)
          y = Expand(x, w)
        }""", [(floats(2, 1), floats(2, 3)), (floats(5, 1), floats(5, 3))]),
    "sequence": ("""
        agraph (float[6,2] x, int64 at) => (float[2,2] y, float[6,2] z, int64 n) {
          two = Constant<value_int: int = 2>()
          parts = SplitToSequence<axis: int = 0>(x, two)
          y = SequenceAt(parts, at)
          one = Constant<value_int: int = 1>()
          less = SequenceErase(parts, one)
          more = SequenceInsert(less, y)
          z = ConcatFromSequence<axis: int = 0>(more)
          n = SequenceLength(more)
        }""", [(floats(6, 2), np.array(1)), (floats(6, 2), np.array(-1))]),
}


class Models(unittest.TestCase):
    def test_models(self):
        for name, (text, inputs, *expected) in MODELS.items():
            with self.subTest(name):
                model = onnx.parser.parse_model(HEAD + text)
                names = [value.name for value in model.graph.input]
                outputs = [value.name for value in model.graph.output]
                evaluate = lambda values: ReferenceEvaluator(model).run(outputs, dict(zip(names, values)))
                for values, got in zip(inputs, run_tenon(model, inputs, len(outputs))):
                    compare(got, expected[0](*values) if expected else evaluate(values))


def bytes_of(*shape):
    return RNG.integers(0, 256, shape).astype(np.uint8)


def one(value):
    return np.array(value, np.float32)


def zero(value):
    return np.array(value, np.uint8)


# com.microsoft: operator, attributes, inputs (None: missing), number of results.
HALF = np.arange(6, dtype=np.float32).reshape(6, 1) * np.array([1.0, 0.1], np.float32)
FULL = np.arange(6, dtype=np.float32).reshape(6, 1) * (0.5 ** np.arange(8, dtype=np.float32))
MICROSOFT = {
    "skip_norm": ("SkipLayerNormalization", dict(epsilon=1e-5), [floats(2, 3, 8), floats(2, 3, 8), floats(8), floats(8), floats(8)], [0, 3]),
    "skip_rms": ("SkipSimplifiedLayerNormalization", dict(epsilon=1e-5), [floats(2, 3, 8), floats(2, 3, 8), floats(8)], [0, 3]),
    "embed_norm": ("EmbedLayerNormalization", dict(epsilon=1e-5),
                   [RNG.integers(0, 9, (2, 4)).astype(np.int32), RNG.integers(0, 2, (2, 4)).astype(np.int32), floats(9, 8),
                    floats(6, 8), floats(2, 8), floats(8), floats(8), np.array([[1, 1, 1, 0], [1, 1, 0, 0]], np.int32)], [0, 1]),
    "fused_matmul": ("FusedMatMul", dict(alpha=0.5, transA=1, transB=1), [floats(2, 4, 3), floats(2, 5, 4)], [0]),
    "fused_conv": ("FusedConv", dict(activation="LeakyRelu", activation_params=[0.2], pads=[1, 1, 1, 1]),
                   [floats(1, 4, 5, 5), floats(8, 4, 3, 3), floats(8)], [0]),
    "attention": ("Attention", dict(num_heads=2, unidirectional=1), [floats(2, 4, 6), floats(6, 24), floats(24),
                  np.array([[1, 1, 1, 1], [1, 1, 1, 0]], np.int32)], [0]),
    "attention_past": ("Attention", dict(num_heads=2, unidirectional=1), [floats(2, 1, 6), floats(6, 24), floats(24), None,
                       floats(2, 2, 2, 3, 4)], [0, 1]),
    "multi_head": ("MultiHeadAttention", dict(num_heads=2), [floats(2, 3, 8), floats(2, 5, 8), floats(2, 5, 8), floats(24),
                   np.array([[1, 1, 1, 1, 0], [1, 1, 1, 0, 0]], np.int32)], [0]),
    "multi_head_past": ("MultiHeadAttention", dict(num_heads=2), [floats(2, 1, 8), floats(2, 1, 8), floats(2, 1, 8), None, None,
                        floats(1, 2, 1, 4), floats(2, 2, 3, 4), floats(2, 2, 3, 4)], [0, 1, 2]),
    "group_query": ("GroupQueryAttention", dict(num_heads=4, kv_num_heads=2, do_rotary=1, local_window_size=3),
                    [floats(2, 1, 64), floats(2, 1, 32), floats(2, 1, 32), floats(2, 2, 4, 16), floats(2, 2, 4, 16),
                     np.array([4, 4], np.int32), np.array(5, np.int32), np.cos(FULL), np.sin(FULL)], [0, 1, 2]),
    "group_query_prompt": ("GroupQueryAttention", dict(num_heads=4, kv_num_heads=2),
                           [floats(1, 4, 32), floats(1, 4, 16), floats(1, 4, 16), None, None, np.array([3], np.int32),
                            np.array(4, np.int32)], [0, 1, 2]),
    "q_gemm": ("QGemm", dict(transB=1), [bytes_of(3, 4), one(0.1), zero(3), bytes_of(5, 4), floats(5) ** 2 + 0.1,
               RNG.integers(100, 200, 5).astype(np.uint8), RNG.integers(-9, 9, 5).astype(np.int32), one(0.3), zero(100)], [0]),
    "q_sigmoid": ("QLinearSigmoid", {}, [bytes_of(3, 4), one(0.1), zero(128), one(0.004), zero(0)], [0]),
    "q_leaky_relu": ("QLinearLeakyRelu", dict(alpha=0.2), [bytes_of(3, 4), one(0.1), zero(100), one(0.1), zero(50)], [0]),
    "q_concat": ("QLinearConcat", dict(axis=1), [one(0.2), zero(10), bytes_of(2, 3), one(0.1), zero(3), bytes_of(2, 4),
                 one(0.3), zero(9)], [0]),
    "q_global_pool": ("QLinearGlobalAveragePool", {}, [bytes_of(1, 3, 4, 4), one(0.1), zero(9), one(0.2), zero(3)], [0]),
    "q_softmax": ("QLinearSoftmax", dict(axis=-1, opset=13), [bytes_of(2, 6), one(0.02), zero(9), one(1 / 256), zero(0)], [0]),
    "integer_to_float": ("MatMulIntegerToFloat", {}, [bytes_of(2, 3), bytes_of(3, 4), one(0.1), one(0.2), zero(7), zero(5),
                         floats(4)], [0]),
    "dynamic_matmul": ("DynamicQuantizeMatMul", {}, [floats(2, 3), bytes_of(3, 4), one(0.2), zero(5), floats(4)], [0]),
    "rotary": ("RotaryEmbedding", {}, [floats(2, 3, 8), np.array([2], np.int64), np.cos(HALF), np.sin(HALF)], [0]),
}


class Microsoft(unittest.TestCase):
    def test_operators(self):
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise unittest.SkipTest(f"onnxruntime is not installed: {error}") from None
        for name, (operator, attributes, inputs, results) in MICROSOFT.items():
            with self.subTest(name):
                names = [f"i{k}" if value is not None else "" for k, value in enumerate(inputs)]
                outputs = [f"o{k}" if k in results else "" for k in range(max(results) + 1)]
                node = onnx.helper.make_node(operator, names, outputs, domain="com.microsoft", **attributes)
                typed = lambda n, v: onnx.helper.make_tensor_value_info(n, onnx.helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
                given = {n: v for n, v in zip(names, inputs) if n}
                free = [onnx.ValueInfoProto(name=n) for n in outputs if n]
                build = lambda out: onnx.helper.make_model(
                    onnx.helper.make_graph([node], name, [typed(n, v) for n, v in given.items()], out), ir_version=10,
                    opset_imports=[onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid("com.microsoft", 1)])
                session = onnxruntime.InferenceSession(build(free).SerializeToString(), providers=["CPUExecutionProvider"])
                want = session.run(None, given)
                model = build([typed(n, v) for n, v in zip(filter(None, outputs), want)])
                compare(run_tenon(model, [list(given.values())], len(want))[0], want)


if __name__ == "__main__":
    unittest.main()
