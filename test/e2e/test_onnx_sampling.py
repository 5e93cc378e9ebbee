"""ONNX operators that sample, scatter, pool and find: parameters that are constants, and symbolic sizes, next to torch."""

import unittest

import numpy as np
import torch
import torch.nn.functional as F

from harness import add_cases, command, compile, new_path, run

try:
    import onnx
    from onnx import helper, numpy_helper
except ModuleNotFoundError as error:
    raise unittest.SkipTest(f"onnx is not installed: {error}") from None

RANDOM = np.random.default_rng(7)


def floats(*shape):
    return RANDOM.standard_normal(shape, dtype=np.float32)


def make(op, inputs, shapes, constants=(), outputs=1, results=None, opset=22, domain="", **attributes):
    """A model of one node. `inputs` and `constants` are arrays by name ('' is a missing input), in the node's order;
    `shapes` says how the inputs' sizes are declared."""
    names = [*inputs, *constants]
    constants = {k: v for k, v in dict(constants).items() if v is not None}
    node = helper.make_node(op, ["" if n.startswith("_") else n for n in names], [f"y{i}" for i in range(outputs)],
                            domain=domain, **attributes)
    element = lambda a: helper.np_dtype_to_tensor_dtype(a.dtype)
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info(n, element(a), shapes[n]) for n, a in inputs.items()],
        [helper.make_tensor_value_info(f"y{i}", t, s) for i, (t, s) in enumerate(results)],
        [numpy_helper.from_array(v, n) for n, v in constants.items()])
    path = new_path(".onnx")
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid(domain, opset)], ir_version=10), path)
    return path


FLOAT, LONG = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64


def check(model, *sets, rtol=1e-4, atol=1e-5):
    """`sets` are pairs of inputs and wanted results."""
    path = compile(model)
    for inputs, wanted in sets:
        got = run(path, inputs)
        assert len(got) == len(wanted), (len(got), len(wanted))
        for g, w in zip(got, wanted):
            assert (g.shape, g.dtype) == (w.shape, w.dtype), (g.shape, w.shape, g.dtype, w.dtype)
            np.testing.assert_allclose(g, w, rtol=rtol, atol=atol)


def resize(mode, scale, torch_mode, coordinates="half_pixel", **named):
    """Constant scales, symbolic height and width, two sizes in one artifact."""
    scales = np.array([1, 1, scale, scale], np.float32)
    model = make("Resize", {"x": floats(1, 2, 4, 6)}, {"x": ["n", 2, "h", "w"]}, {"_roi": None, "scales": scales},
                 results=[(FLOAT, None)], opset=19, mode=mode, coordinate_transformation_mode=coordinates, **named)
    xs = [floats(1, 2, 4, 6), floats(2, 2, 10, 8)]
    align = {} if torch_mode in ("nearest", "nearest-exact") else {"align_corners": coordinates == "align_corners"}
    want = [F.interpolate(torch.from_numpy(x), scale_factor=scale, mode=torch_mode, **align).numpy() for x in xs]
    check(model, *[([x], [w]) for x, w in zip(xs, want)])


def resize_antialias():
    x = floats(1, 2, 16, 12)
    for mode, torch_mode, a in [("linear", "bilinear", -0.75), ("cubic", "bicubic", -0.5)]:
        model = make("Resize", {"x": x}, {"x": x.shape}, {"_roi": None, "_scales": None, "sizes": np.array([1, 2, 5, 7])},
                     results=[(FLOAT, [1, 2, 5, 7])], opset=19, mode=mode, antialias=1, exclude_outside=1, cubic_coeff_a=a)
        want = F.interpolate(torch.from_numpy(x), size=(5, 7), mode=torch_mode, antialias=True, align_corners=False)
        check(model, ([x], [want.numpy()]))


def resize_checks_declared_sizes():
    """The sizes come when the model runs: those that the model declares are right, others are refused."""
    x, good = floats(1, 1, 3, 3), np.array([1, 1, 6, 9])
    model = make("Resize", {"x": x, "_roi": x, "_scales": x, "sizes": good}, {"x": x.shape, "_roi": [0], "_scales": [0],
                 "sizes": [4]}, results=[(FLOAT, [1, 1, 6, 9])], opset=19, mode="nearest")
    proto = onnx.load(model)
    del proto.graph.input[1:3]
    onnx.save(proto, model)
    want = F.interpolate(torch.from_numpy(x), size=(6, 9), mode="nearest-exact").numpy()
    check(model, ([x, good], [want]))
    path, files = compile(model), [new_path(".npy"), new_path(".npy"), new_path(".npy")]
    np.save(files[0], x)
    np.save(files[1], np.array([1, 1, 6, 8]))
    status, text = command("run", path, f"--input=@{files[0]}", f"--input=@{files[1]}", f"--output=@{files[2]}")
    assert status != 0, "sizes that contradict the model were taken"


def grid_sample(mode, padding, align):
    x, grid = floats(2, 3, 5, 7), floats(2, 4, 6, 2) * 1.3
    model = make("GridSample", {"x": x, "grid": grid}, {"x": ["n", 3, "h", "w"], "grid": ["n", "a", "b", 2]},
                 results=[(FLOAT, None)], mode={"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode),
                 padding_mode=padding, align_corners=int(align))
    want = F.grid_sample(torch.from_numpy(x), torch.from_numpy(grid), mode, padding, align)
    check(model, ([x, grid], [want.numpy()]), rtol=1e-3, atol=1e-4)


def conv_transpose():
    x, w, bias = floats(2, 4, 5, 6), floats(4, 3, 3, 2), floats(6)
    model = make("ConvTranspose", {"x": x, "w": w, "b": bias}, {"x": ["n", 4, "h", "w"], "w": w.shape, "b": [6]},
                 results=[(FLOAT, None)], strides=[2, 3], pads=[1, 0, 1, 0], output_padding=[1, 2], dilations=[2, 1], group=2)
    want = F.conv_transpose2d(*map(torch.from_numpy, (x, w, bias)), stride=(2, 3), padding=(1, 0), output_padding=(1, 2),
                              groups=2, dilation=(2, 1))
    check(model, ([x, w, bias], [want.numpy()]))


def pools():
    x = floats(2, 3, 9, 11)
    t = torch.from_numpy(x)
    y, at = F.max_pool2d(t, 3, 2, 1, ceil_mode=True, return_indices=True)
    planes = torch.arange(6).reshape(2, 3, 1, 1) * 99
    model = make("MaxPool", {"x": x}, {"x": x.shape}, outputs=2, results=[(FLOAT, None), (LONG, None)], kernel_shape=[3, 3],
                 strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1)
    check(model, ([x], [y.numpy(), (at + planes).numpy()]))
    for counts in (False, True):
        model = make("AveragePool", {"x": x}, {"x": x.shape}, results=[(FLOAT, None)], kernel_shape=[4, 3], strides=[3, 2],
                     pads=[1, 1, 1, 1], ceil_mode=1, count_include_pad=int(counts))
        want = F.avg_pool2d(t, (4, 3), (3, 2), 1, ceil_mode=True, count_include_pad=counts)
        check(model, ([x], [want.numpy()]))


def found_sizes():
    """One artifact, numbers of rows that differ between calls."""
    xs = [np.array(v, np.float32) for v in ([3, 1, 3, 2, 1, 3], [5, 5, 5], [1, np.nan, 0, np.nan])]
    outputs = [(FLOAT, [None]), (LONG, [None]), (LONG, [None]), (LONG, [None])]
    for ordered in (True, False):
        model = make("Unique", {"x": xs[0]}, {"x": ["n"]}, outputs=4, results=outputs, sorted=int(ordered))
        sets = []
        for x in xs:
            values, first, inverse, counts = np.unique(x, True, True, True)
            order = np.arange(len(values)) if ordered else np.argsort(first)
            sets.append(([x], [values[order], first[order], np.argsort(order)[inverse], counts[order]]))
        check(model, *sets)
    rows = [np.array(v, np.float32) for v in ([[1, 2], [0, 5], [1, 2], [0, 4]], [[7, 7]])]
    model = make("Unique", {"x": rows[0]}, {"x": ["n", 2]}, outputs=4, results=[(FLOAT, [None, 2]), *outputs[1:]], axis=0)
    check(model, *[([x], [a.reshape(-1) if i else a for i, a in enumerate(np.unique(x, True, True, True, axis=0))])
                   for x in rows])
    model = make("NonZero", {"x": rows[0]}, {"x": ["n", 2]}, results=[(LONG, [2, None])])
    check(model, *[([x], [np.stack(np.nonzero(x))]) for x in rows])
    x, masks = floats(4, 3), [np.array([True, False, True, True]), np.zeros(4, bool)]
    model = make("Compress", {"x": x, "m": masks[0]}, {"x": x.shape, "m": [4]}, results=[(FLOAT, [None, 3])], axis=0)
    check(model, *[([x, m], [x[m]]) for m in masks])


def suppression():
    """Boxes in two batches and three classes next to a plain loop."""
    corner, size = RANDOM.random((2, 12, 2), np.float32), RANDOM.random((2, 12, 2), np.float32) * 0.5 + 0.05
    boxes, scores = np.concatenate([corner, corner + size], -1), RANDOM.random((2, 3, 12), np.float32)
    limit, overlap, least = np.array([3]), np.array([0.3], np.float32), np.array([0.25], np.float32)

    def cover(a, b):
        low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
        shared = np.prod(np.maximum(high - low, 0))
        return shared / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared)

    want = []
    for n in range(2):
        for c in range(3):
            taken = []
            for i in np.argsort(-scores[n, c], kind="stable"):
                if scores[n, c, i] > least[0] and len(taken) < limit[0] and all(
                        cover(boxes[n, i], boxes[n, j]) <= overlap[0] for j in taken):
                    taken.append(i)
            want += [[n, c, i] for i in taken]
    model = make("NonMaxSuppression", {"boxes": boxes, "scores": scores}, {"boxes": ["n", "k", 4], "scores": ["n", 3, "k"]},
                 {"limit": limit, "overlap": overlap, "least": least}, results=[(LONG, [None, 3])], opset=11)
    check(model, ([boxes, scores], [np.array(want)]))


def scatters():
    data, at = RANDOM.integers(0, 200, (4, 5)).astype(np.uint8), RANDOM.integers(-4, 4, (3, 5))
    update = RANDOM.integers(0, 255, (3, 5)).astype(np.uint8)
    for how, function in [("none", None), ("add", np.add), ("max", np.maximum), ("min", np.minimum)]:
        want = data.copy()
        for i, j in np.ndindex(3, 5):
            place = (at[i, j], j)
            want[place] = update[i, j] if function is None else function(want[place], update[i, j])
        model = make("ScatterElements", {"d": data, "i": at, "u": update}, {"d": ["n", 5], "i": ["k", 5], "u": ["k", 5]},
                     results=[(onnx.TensorProto.UINT8, None)], opset=18, axis=0, reduction=how)
        check(model, ([data, at, update], [want]))
    x, where = floats(3, 4, 5, 2), RANDOM.integers(-4, 4, (3, 6, 2))
    model = make("GatherND", {"x": x, "i": where}, {"x": ["b", 4, 5, 2], "i": ["b", "k", 2]}, results=[(FLOAT, None)],
                 opset=13, batch_dims=1)
    check(model, ([x, where], [np.stack([x[b][where[b, :, 0], where[b, :, 1]] for b in range(3)])]))


def orders():
    x = RANDOM.integers(0, 2**63, (3, 8), dtype=np.uint64) * 2
    model = make("TopK", {"x": x}, {"x": ["n", 8]}, {"k": np.array([3])}, outputs=2,
                 results=[(onnx.TensorProto.UINT64, None), (LONG, None)], opset=24, axis=1)
    order = np.argsort(~x, axis=1, kind="stable")[:, :3]
    check(model, ([x], [np.take_along_axis(x, order, 1), order]))
    x, n = floats(6, 4), np.array([1, 6, 3, 4])
    want = x.copy()
    for b in range(4):
        want[:n[b], b] = x[:n[b], b][::-1]
    model = make("ReverseSequence", {"x": x, "n": n}, {"x": ["t", "b"], "n": ["b"]}, results=[(FLOAT, None)], opset=10)
    check(model, ([x, n], [want]))


def spectra():
    x = floats(2, 100, 1)
    window = np.hanning(16).astype(np.float32)
    model = make("STFT", {"x": x}, {"x": ["n", "t", 1]}, {"step": np.array(8), "window": window}, results=[(FLOAT, None)],
                 opset=17)
    want = torch.stft(torch.from_numpy(x[..., 0]), 16, 8, window=torch.from_numpy(window), center=False, return_complex=True)
    check(model, ([x], [torch.view_as_real(want.transpose(1, 2)).numpy()]), atol=1e-4)
    x = floats(3, 10, 2)
    for length in (7, 16):
        model = make("DFT", {"x": x}, {"x": ["n", 10, 2]}, {"length": np.array(length), "axis": np.array(1)},
                     results=[(FLOAT, None)], opset=20)
        want = np.fft.fft(x[..., 0] + 1j * x[..., 1], length, axis=1)
        check(model, ([x], [np.stack([want.real, want.imag], -1).astype(np.float32)]), atol=1e-4)


def encoders():
    x = np.array([[3, 1], [9, 2]])
    model = make("LabelEncoder", {"x": x}, {"x": ["n", 2]}, results=[(FLOAT, None)], opset=4, domain="ai.onnx.ml",
                 keys_int64s=[1, 2, 3], values_floats=[0.5, 1.5, 2.5], default_float=-7.0)
    check(model, ([x], [np.array([[2.5, 0.5], [-7, 1.5]], np.float32)]))


CASES = [
    ("resize_nearest", lambda: resize("nearest", 2.0, "nearest", "asymmetric", nearest_mode="floor")),
    ("resize_linear", lambda: resize("linear", 2.0, "bilinear")),
    ("resize_linear_half", lambda: resize("linear", 0.5, "bilinear")),
    ("resize_corners", lambda: resize("linear", 3.0, "bilinear", "align_corners")),
    ("resize_cubic", lambda: resize("cubic", 2.0, "bicubic")),
    *((f.__name__, f) for f in (resize_antialias, resize_checks_declared_sizes, conv_transpose, pools, found_sizes,
                                suppression, scatters, orders, spectra, encoders)),
    *((f"grid_{m}_{p}_{a}", lambda m=m, p=p, a=a: grid_sample(m, p, a))
      for m, p, a in [("bilinear", "zeros", False), ("bilinear", "reflection", False), ("nearest", "border", True),
                      ("nearest", "reflection", False), ("bicubic", "zeros", True), ("bicubic", "reflection", False)]),
]


class OnnxSampling(unittest.TestCase):
    pass


add_cases(OnnxSampling, CASES)
