"""First inputs for the fuzzers: small models of every kind that the readers tell apart.

    python test/fuzz/seeds.py FOLDER [--artifact-tool build/dev/bin/tenon-make-test-artifact]

Fills FOLDER/pt2, FOLDER/onnx and, with the tool, FOLDER/program.
"""

import argparse
import pathlib
import subprocess


def write_onnx(folder):
    import numpy as np
    from onnx import TensorProto as T, helper as h

    def model(name, nodes, inputs=(), outputs=(), tensors=(), sparse=(), functions=()):
        graph = h.make_graph(list(nodes), name, list(inputs), list(outputs), list(tensors), sparse_initializer=list(sparse))
        proto = h.make_model(graph, functions=list(functions), opset_imports=[h.make_opsetid("", 21), h.make_opsetid("own", 1)])
        (folder / f"{name}.onnx").write_bytes(proto.SerializeToString())

    x, y = (h.make_tensor_value_info(n, T.FLOAT, ["N", 3]) for n in "xy")
    flag = h.make_tensor_value_info("p", T.BOOL, [])
    model("plain", [h.make_node("Add", ["x", "x"], ["y"])], [x], [y])
    lists = [h.make_tensor(f"t{t}", t, [3], [1, 2, 3]) for t in range(1, 17)
             if t not in (T.STRING, T.BOOL)]
    lists += [h.make_tensor("s", T.STRING, [2], [b"a", b"bc"]), h.make_tensor("b", T.BOOL, [2], [1, 0])]
    lists += [h.make_tensor(f"t{t}", t, [3], [1, 2, 3]) for t in (T.FLOAT8E4M3FN, T.FLOAT8E5M2, T.UINT4, T.INT4)]
    model("lists", [], [x], [x], lists)
    raw = [h.make_tensor(f"r{t}", t, [5], np.arange(5, dtype=d).tobytes(), raw=True)
           for t, d in ((T.FLOAT, "f4"), (T.DOUBLE, "f8"), (T.INT64, "i8"), (T.UINT8, "u1"), (T.FLOAT16, "f2"))]
    raw += [h.make_tensor(f"q{t}", t, [5], b"\x21\x43\x05", raw=True) for t in (T.UINT4, T.INT4)]
    raw.append(h.make_tensor("large", T.FLOAT, [300], bytes(1200), raw=True))
    model("raw", [h.make_node("Constant", [], ["c"], value=raw[0])], [x], [x], raw)
    outside = h.make_tensor("e", T.FLOAT, [3], [1, 2, 3])
    outside.ClearField("float_data")
    outside.data_location = T.EXTERNAL
    for key, value in (("location", "weights.bin"), ("offset", "64"), ("length", "12")):
        entry = outside.external_data.add()
        entry.key, entry.value = key, value
    model("external", [], [x], [x], [outside])
    inner = h.make_graph([h.make_node("Neg", ["x"], ["z"])], "inner", [], [h.make_tensor_value_info("z", T.FLOAT, None)],
                         [h.make_tensor("w", T.FLOAT, [1], [1])])
    model("branch", [h.make_node("If", ["p"], ["y"], then_branch=inner, else_branch=inner)], [x, flag], [y])
    function = h.make_function("own", "F", ["a"], ["b"], [h.make_node("Relu", ["a"], ["b"])], [h.make_opsetid("", 21)])
    model("function", [h.make_node("F", ["x"], ["y"], domain="own")], [x], [y], functions=[function])
    sparse = h.make_sparse_tensor(h.make_tensor("v", T.FLOAT, [2], [1, 2]), h.make_tensor("i", T.INT64, [2], [0, 2]), [4])
    model("sparse", [], [x], [x], sparse=[sparse])


def write_pt2(folder):
    import torch

    class Linear(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(2, 3))
            self.register_buffer("count", torch.zeros((), dtype=torch.int64))

        def forward(self, x):
            self.count.add_(1)
            return x @ self.weight.T + torch.tensor([1.0, 2.0])

    class Branch(torch.nn.Module):
        def forward(self, x):
            return torch.cond(x.sum() > 0, lambda x: x + 1, lambda x: x * 2, (x,))

    class Sizes(torch.nn.Module):
        def forward(self, x):
            n = x.shape[0]
            return x.reshape(-1), x[: n // 2] * n

    for module, x, sizes in ((Linear(), torch.ones(4, 3), None), (Branch(), torch.ones(3), None),
                             (Sizes(), torch.ones(5, 3), {"x": {0: torch.export.Dim.AUTO}})):
        program = torch.export.export(module, (x,), dynamic_shapes=sizes, strict=False)
        torch.export.save(program, folder / f"{type(module).__name__.lower()}.pt2")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--artifact-tool")
    options = parser.parse_args()
    for name, write in (("onnx", write_onnx), ("pt2", write_pt2)):
        (options.folder / name).mkdir(parents=True, exist_ok=True)
        write(options.folder / name)
    if options.artifact_tool:
        (options.folder / "program").mkdir(exist_ok=True)
        subprocess.run([options.artifact_tool, options.folder / "program" / "header", "--header"], check=True)


if __name__ == "__main__":
    main()
