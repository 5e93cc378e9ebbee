"""One artifact for all sizes; the same bits for every number of threads, and for a row whatever its batch."""

import unittest

import numpy as np

import tenon
from harness import assert_close, check, compile, eager, export, torch

import torch.nn as nn
import torch.nn.functional as F

Dim = torch.export.Dim


class Encoder(nn.Module):
    """A small transformer encoder over token ids with a mask."""

    def __init__(self, width=32, heads=4):
        super().__init__()
        self.heads = heads
        self.embedding, self.position = nn.Embedding(100, width), nn.Embedding(512, width)
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, ids, mask):
        batch, length = ids.shape
        x = self.embedding(ids) + self.position(torch.arange(length))
        split = lambda y: y.view(batch, length, self.heads, -1).transpose(1, 2)
        bias = torch.where(mask[:, None, None, :] > 0, 0.0, -1e9)
        a = F.scaled_dot_product_attention(split(self.q(x)), split(self.k(x)), split(self.v(x)), attn_mask=bias)
        x = self.norm1(x + self.o(a.transpose(1, 2).reshape(batch, length, -1)))
        x = self.norm2(x + self.down(F.gelu(self.up(x))))
        return F.normalize(x.mean(1), dim=-1)


def batch(size, length):
    generator = torch.Generator().manual_seed(length)
    ids = torch.randint(0, 100, (8, length), generator=generator)
    mask = (torch.rand(8, length, generator=generator) > 0.2).long()
    mask[:, 0] = 1
    return ids[:size].contiguous(), mask[:size].contiguous()


class Dynamic(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        torch.manual_seed(0)
        cls.module = Encoder().eval()
        shapes = {0: Dim("batch", min=1, max=64), 1: Dim("length", min=1, max=512)}
        cls.path = compile(export(cls.module, batch(2, 9), (shapes, shapes)))
        cls.program = tenon.Program(cls.path)

    @classmethod
    def tearDownClass(cls):
        cls.program.close()

    def results(self, args, threads=1):
        with self.program.session(threads=threads) as session:
            return session(*args)

    def test_sizes(self):
        for size in (1, 3, 8):
            for length in (1, 7, 128, 512):
                args = batch(size, length)
                assert_close(self.results(args), eager(self.module, args))

    def test_threads(self):
        for args in (batch(1, 128), batch(8, 77)):
            one = self.results(args)[0].tobytes()
            for threads in (2, 4):
                self.assertEqual(self.results(args, threads)[0].tobytes(), one, f"{threads} threads")

    def test_rows(self):
        for length in (7, 64):
            whole = self.results(batch(8, length))[0]
            for size in (1, 3):
                part = self.results(batch(size, length))[0]
                self.assertEqual(part.tobytes(), whole[:size].tobytes(), f"batch {size}, length {length}")

    def test_size_outside_the_range(self):
        with self.assertRaises(tenon.Error):
            self.results((torch.zeros(1, 513, dtype=torch.int64), torch.ones(1, 513, dtype=torch.int64)))

    def test_index_outside_the_table(self):
        with self.assertRaises(tenon.Error):
            self.results((torch.full((1, 4), 100), torch.ones(1, 4, dtype=torch.int64)))

    def test_derived_size(self):
        module = nn.Conv1d(4, 6, 3, stride=2)
        args = (torch.randn(1, 4, 11),)
        check(module, args, ({2: Dim.DYNAMIC},), others=((torch.randn(1, 4, 30),), (torch.randn(1, 4, 5),)))

    def test_empty_batch(self):
        module = nn.Sequential(nn.Linear(4, 5), nn.ReLU())
        path = compile(export(module, (torch.randn(3, 4),), ({0: Dim("n", min=0, max=10)},)))
        with tenon.Program(path) as program, program.session() as session:
            self.assertEqual(session(np.zeros((0, 4), np.float32))[0].shape, (0, 5))


class State(unittest.TestCase):
    def test_padding_around_nothing(self):
        class Padded(nn.Module):
            def forward(self, x, w):
                return F.pad(F.pad(x, (0, 0, 1, 0))[:, :, None] * w, (2, 0, 0, 1, 0, 0), value=0.5)

        w = torch.randn(3, 1, 8)
        check(Padded(), (torch.randn(2, 5), w), ({1: Dim("n", min=0, max=64)}, None),
              others=[(torch.randn(2, n), w) for n in (0, 1, 17)])

    def test_index_into_nothing(self):
        class Pick(nn.Module):
            def forward(self, x, i):
                return F.pad(x[i], (1, 0))

        args = (torch.randn(5, 9), torch.tensor([0, 3]))
        program = tenon.Program(compile(export(Pick(), args, ({0: Dim("n", min=0, max=64)}, None))))
        session = program.session()
        assert_close(session(*args), eager(Pick(), args))
        with self.assertRaisesRegex(Exception, "index is outside dimension 0 of size 0"):
            session(args[0][:0], args[1])
        session.close()
        program.close()

    def test_cache(self):
        import models

        case = models.get("llama_tiny")
        for layer in case.module.layers:
            layer.keys.zero_()
            layer.values.zero_()
        path = compile(export(case.module, case.args))
        with tenon.Program(path) as program, program.session() as session, program.session(threads=2) as other:
            for position, token in enumerate((5, 17, 200, 3)):
                args = (torch.tensor([[token]]), torch.tensor([position]))
                want = eager(case.module, args)
                got = session(*args)
                assert_close(got, want)
                self.assertEqual(got[0].tobytes(), other(*args)[0].tobytes())
            first = (torch.tensor([[5]]), torch.tensor([0]))
            fresh = program.session()
            want = fresh(*first)
            session.reset()
            self.assertEqual(session(*first)[0].tobytes(), want[0].tobytes())
            fresh.close()


if __name__ == "__main__":
    unittest.main()
