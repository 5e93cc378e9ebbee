"""Attention as decoders use it, next to PyTorch's: few rows of queries on a long cache, sizes fixed or symbolic.

    python benchmarks/decode.py [--threads 1,2] [--rounds 6] [--seconds 0.1]

The two take turns in short blocks in one process, so that a noisy machine disturbs both alike; the ratio is of best
times, torch's over tenon's. One file per line: symbolic sizes are named b (batch), s (rows of queries), t (keys).
"""

import argparse
import pathlib
import subprocess
import tempfile

from flex import locate, take_turns, tenon, torch

F = torch.nn.functional


class Attention(torch.nn.Module):
    def forward(self, q, k, v):
        return F.scaled_dot_product_attention(q, k, v, enable_gqa=q.shape[1] != k.shape[1])


def inputs(batch, heads, groups, rows, keys, depth=64):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(batch, h, n, depth, generator=generator) for h, n in ((heads, rows), (groups, keys), (groups, keys))]


def compiled(sizes, symbolic, folder):
    """Exported with other sizes than it runs with, where they are symbolic."""
    batch, heads, groups, rows, keys = sizes
    example = inputs(3 if "b" in symbolic else batch, heads, groups, 5 if "s" in symbolic else rows, 17 if "t" in symbolic else keys)
    dims = {name: torch.export.Dim(name, max=most) for name, most in (("b", 64), ("s", 2048), ("t", 8192)) if name in symbolic}
    of = lambda *names: {d: dims[name] for d, name in names if name in dims}
    spec = (of((0, "b"), (2, "s")), *[of((0, "b"), (2, "t"))] * 2)
    with torch.no_grad():
        program = torch.export.export(Attention(), tuple(example), dynamic_shapes=spec)
    model, artifact = folder / "model.pt2", folder / "model.tenon"
    torch.export.save(program, model)
    subprocess.run([str(locate.driver()), "compile", "--quiet", str(model), "-o", str(artifact)], check=True)
    return tenon.Program(artifact)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=0.1, help="length of a block")
    options = parser.parse_args()
    cases = [((1, 12, 12, 1, 1024), s) for s in ("", "t", "bt", "bst")] + [((1, 16, 4, 1, 1024), s) for s in ("", "t", "bst")]
    cases += [((8, 12, 12, 1, 256), "bt"), ((1, 12, 12, 4, 1024), "st")]
    print("| batch, heads, groups, rows, keys | symbolic | threads | tenon, us | torch, us | torch / tenon |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name, torch.no_grad():
        for sizes, symbolic in cases:
            with compiled(sizes, symbolic, pathlib.Path(name)) as program:
                for threads in (int(t) for t in options.threads.split(",")):
                    torch.set_num_threads(threads)
                    args = inputs(*sizes)
                    with program.session(threads=threads) as session:
                        calls = {"tenon": session.prepare(*args), "torch": lambda: Attention()(*args)}
                        times = take_turns(calls, options)
                    own, other = (min(times[engine]) * 1e3 for engine in ("tenon", "torch"))
                    print(f"| {', '.join(map(str, sizes))} | {symbolic or 'none'} | {threads} | {own:.0f} | {other:.0f} | {other / own:.2f} |",
                          flush=True)


if __name__ == "__main__":
    main()
