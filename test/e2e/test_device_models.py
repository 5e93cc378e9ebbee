"""Whole models on a device against the CPU, small: the architectures of the benchmarks with fewer and narrower layers. The
sizes of the benchmarks are in test_long_device_models.py."""

import unittest

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import models
import tenon
from harness import assert_close, command, compile, eager, export, new_path
import test_devices

LIMIT = 1e-4


def compare(test, got, want):
    """Relative to the largest value."""
    test.assertEqual(len(got), len(want))
    for g, w in zip(got, want):
        test.assertEqual(g.shape, w.shape)
        test.assertLess(np.abs(g.astype(np.float64) - w).max(), LIMIT * np.abs(w).max())


class SmallBert(nn.Module):
    """MiniLM: BERT, the mean of the words, normalised."""

    def __init__(self):
        super().__init__()
        from transformers import BertConfig, BertModel

        config = BertConfig(vocab_size=300, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96,
                            attn_implementation="sdpa")
        self.bert = BertModel(config, add_pooling_layer=False)
        for part in self.bert.modules():
            if isinstance(part, nn.Linear):
                nn.init.normal_(part.weight, 0, 0.2)

    forward = models.SentenceEmbedding.forward


class SmallGPT2(nn.Module):
    """GPT-2 with its keys and values in buffers: any number of tokens from a position on, so that one is a step."""

    def __init__(self, layers=2, width=64, heads=4, vocabulary=200, length=40):
        super().__init__()
        self.heads, self.length = heads, length
        self.words, self.places = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        block = lambda: nn.ModuleDict({"norm1": nn.LayerNorm(width), "qkv": nn.Linear(width, 3 * width), "out": nn.Linear(width, width),
                                       "norm2": nn.LayerNorm(width), "up": nn.Linear(width, 4 * width), "down": nn.Linear(4 * width, width)})
        self.blocks, self.norm = nn.ModuleList(block() for _ in range(layers)), nn.LayerNorm(width)
        for i in range(layers):
            for name in ("keys", "values"):
                self.register_buffer(f"{name}{i}", torch.zeros(1, heads, length, width // heads))

    def forward(self, ids, positions):
        n = ids.shape[1]
        x = self.words(ids) + self.places(positions)
        mask = torch.arange(self.length)[None, :] <= positions[:, None]
        for i, block in enumerate(self.blocks):
            q, k, v = (t.view(1, n, self.heads, -1).transpose(1, 2) for t in block["qkv"](block["norm1"](x)).chunk(3, -1))
            keys, values = getattr(self, f"keys{i}"), getattr(self, f"values{i}")
            keys.index_copy_(2, positions, k)
            values.index_copy_(2, positions, v)
            a = F.scaled_dot_product_attention(q, keys, values, mask)
            x = x + block["out"](a.transpose(1, 2).reshape(1, n, -1))
            x = x + block["down"](F.gelu(block["up"](block["norm2"](x)), approximate="tanh"))
        return self.norm(x) @ self.words.weight.T


class Suite:
    target = device = None

    def check(self, module, args, dynamic_shapes=None, others=()):
        module = module.eval().requires_grad_(False)
        path = compile(export(module, args, dynamic_shapes), f"--target={self.target}", "--target=cpu")
        with tenon.Program(path, device=self.device) as device, tenon.Program(path, device="cpu") as cpu:
            with device.session() as there, cpu.session() as here:
                for values in (args, *others):
                    got, want = there(*values), here(*values)
                    compare(self, got, want)
                    assert_close(got, eager(module, values), scaled=True)

    def test_minilm(self):
        shapes = {0: torch.export.Dim("batch", min=1, max=64), 1: torch.export.Dim("length", min=1, max=512)}

        def example(batch, length):
            mask = torch.ones(batch, length, dtype=torch.int64)
            mask[:, length - length // 4:] = 0
            return torch.randint(0, 300, (batch, length)), mask

        self.check(SmallBert(), example(2, 24), (shapes, shapes), [example(1, 1), example(3, 70)])

    def test_mobilenetv3(self):
        self.check(models.image_model("mobilenetv3_small_050"), (torch.randn(1, 3, 64, 64),))

    def test_gpt2(self):
        """Prefill and steps, whose cache stays on the device."""
        module, prompt = SmallGPT2().eval().requires_grad_(False), torch.randint(0, 200, (1, 21))
        example = prompt, torch.arange(21)
        prefill, decode = export(module, example), export(module, (prompt[:, :1], torch.tensor([3])))
        path = new_path(".tenon")
        status, text = command("compile", f"--entry=prefill={prefill}", f"--entry=decode={decode}", "-o", path, "--quiet",
                               f"--target={self.target}", "--target=cpu")
        self.assertEqual(status, 0, text)
        with tenon.Program(path, device=self.device) as device, tenon.Program(path, device="cpu") as cpu:
            with device.session() as there, cpu.session() as here:
                got, want = (s(*example, entry="prefill") for s in (there, here))
                compare(self, got, want)
                assert_close(got, eager(module, example), scaled=True)
                token = want[0][:, -1:].argmax(-1)
                for at in range(21, 27):
                    step = torch.from_numpy(token), torch.tensor([at])
                    got, want = (s(*step, entry="decode") for s in (there, here))
                    compare(self, got, want)
                    assert_close(got, eager(module, step), scaled=True)
                    token = want[0].argmax(-1)

    def test_lstm(self):
        self.check(models.LSTM(size=24), (torch.randn(1, 16, 24),))


@unittest.skipUnless(test_devices.is_here("vulkan"), "no Vulkan device")
class Vulkan(Suite, unittest.TestCase):
    target = device = "vulkan"


@unittest.skipUnless(test_devices.is_here("cuda:sm_80"), "neither a GPU of NVIDIA nor its emulator")
class Cuda(Suite, unittest.TestCase):
    target, device = "cuda:sm_80", "cuda"


if __name__ == "__main__":
    unittest.main()
