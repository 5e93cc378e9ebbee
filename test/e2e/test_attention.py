"""Attention: what exporters take apart, FlexAttention through the Python package, packed sequences."""

import math
import unittest
import warnings

from harness import add_cases, assert_close, check, compile, eager, export, leaves, new_path, output_of, run, torch
import tenon

from torch.nn.attention.flex_attention import create_block_mask, flex_attention
import torch.nn.functional as F

warnings.filterwarnings("ignore", message=".*flex_attention called without torch.compile.*")


class Call(torch.nn.Module):
    """A function as a module."""

    def __init__(self, function, **buffers):
        super().__init__()
        self.function = function
        for name, value in buffers.items():
            self.register_buffer(name, value)

    def forward(self, *args):
        return self.function(self, *args) if dict(self.named_buffers()) else self.function(*args)


def raised(path):
    """The IR in which attention has been recognised."""
    out = new_path(".mlir")
    output_of("compile", path, "-o", out, "--stop-after=raise", "--quiet")
    return out.read_text()


def check_raised(module, args, dynamic_shapes=None, decompose=False, others=(), factor=1.0):
    path = export(module, args, dynamic_shapes, decompose)
    text = raised(path)
    if "graph.attention" not in text or "graph.contract" in text:
        raise AssertionError("attention was not recognised:\n" + text)
    artifact = compile(path)
    for values in (args, *others):
        assert_close(run(artifact, values), eager(module.eval(), values), factor=factor)
    return text


def qkv(heads=4, groups=None, rows=16, keys=None, depth=8, batch=2, dtype=torch.float32):
    groups, keys = groups or heads, keys or rows
    return (torch.randn(batch, heads, rows, depth, dtype=dtype), torch.randn(batch, groups, keys, depth, dtype=dtype),
            torch.randn(batch, groups, keys, depth, dtype=dtype))


# -- taken apart by run_decompositions() ------------------------------------------------------------------------------

def sdpa(**options):
    return Call(lambda q, k, v, m=None: F.scaled_dot_product_attention(q, k, v, attn_mask=m, **options))


def some_rows_masked(rows=16, keys=16):
    mask = torch.rand(2, 1, rows, keys) > 0.4
    mask[0, 0, 3] = False
    return mask


DECOMPOSED = [
    ("plain", lambda: check_raised(sdpa(), qkv(), decompose=True)),
    ("causal", lambda: check_raised(sdpa(is_causal=True), qkv(), decompose=True)),
    ("cross, scale", lambda: check_raised(sdpa(scale=0.3), qkv(keys=21), decompose=True)),
    ("bool mask, rows without keys", lambda: check_raised(sdpa(), (*qkv(), some_rows_masked()), decompose=True)),
    ("float mask", lambda: check_raised(sdpa(), (*qkv(), torch.randn(2, 1, 16, 16)), decompose=True)),
    ("grouped heads", lambda: check_raised(sdpa(enable_gqa=True), qkv(groups=2), decompose=True)),
    ("half", lambda: check_raised(sdpa(), qkv(dtype=torch.float16), decompose=True)),
    ("long causal", lambda: check_raised(sdpa(is_causal=True), qkv(rows=500, heads=2), decompose=True)),
]


# -- written out by hand ----------------------------------------------------------------------------------------------

def eager_formula(q, k, v):
    return torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(q.size(-1)), -1) @ v


def masked_fill_formula(q, k, v, keep):
    scores = torch.matmul(q * q.size(-1) ** -0.5, k.transpose(2, 3)).masked_fill(~keep, float("-inf"))
    return torch.matmul(scores.softmax(-1), v)


def rank_3_formula(q, k, v, bias):
    b, h, s, d = q.shape
    scores = torch.bmm(q.reshape(b * h, s, d), k.reshape(b * h, -1, d).transpose(1, 2)).view(b, h, s, -1) + bias
    weights = F.softmax(scores.view(b * h, s, -1), dim=-1, dtype=torch.float32).to(q.dtype)
    return torch.bmm(weights, v.reshape(b * h, -1, d)).view(b, h, s, d).transpose(1, 2).reshape(b, s, h * d)


def repeated_heads_formula(q, k, v, mask):
    """As transformers' eager attention: repeated heads, a mask of the smallest float."""
    b, g, t, d = k.shape
    repeat = lambda x: x[:, :, None].expand(b, g, q.size(1) // g, t, d).reshape(b, q.size(1), t, d)
    scores = torch.matmul(q, repeat(k).transpose(2, 3)) * d ** -0.5 + torch.where(mask, 0.0, torch.finfo(q.dtype).min)
    return torch.matmul(F.softmax(scores, dim=-1, dtype=torch.float32).to(q.dtype), repeat(v)).transpose(1, 2)


def einsum_formula(q, k, v):
    weights = torch.einsum("bhqd,bhkd->bhqk", q, k).softmax(-1)
    return torch.einsum("bhqk,bhkd->bqhd", weights, v)


def soft_cap_formula(q, k, v):
    i = torch.arange(q.size(2))
    scores = torch.tanh(q @ k.transpose(-1, -2) / 30) * 30
    scores = scores + torch.where(i[None] <= i[:, None], 0.0, float("-inf"))
    return torch.softmax(scores, -1) @ v


HAND_WRITTEN = [
    ("formula", lambda: check_raised(Call(eager_formula), qkv())),
    ("formula, symbolic sizes", lambda: check_raised(
        Call(eager_formula), qkv(), others=[qkv(rows=1), qkv(rows=33, keys=70, batch=3)],
        dynamic_shapes=(({0: torch.export.Dim("b", max=8), 2: torch.export.Dim("s", max=99)},
                         *[{0: torch.export.Dim("b", max=8), 2: torch.export.Dim("t", max=99)}] * 2),))),
    ("masked_fill", lambda: check_raised(Call(masked_fill_formula), (*qkv(), torch.rand(2, 1, 16, 16) > 0.4))),
    ("rank 3", lambda: check_raised(Call(rank_3_formula), (*qkv(), torch.randn(2, 1, 16, 16)))),
    ("repeated heads", lambda: check_raised(Call(repeated_heads_formula), (*qkv(groups=2), some_rows_masked()))),
    ("einsum", lambda: check_raised(Call(einsum_formula), qkv())),
    ("soft cap and causal order", lambda: check_raised(Call(soft_cap_formula), qkv(rows=70))),
]


class Recognised(unittest.TestCase):
    def test_weights_that_are_results_stay(self):
        def both(q, k, v):
            weights = torch.softmax(q @ k.transpose(-1, -2), -1)
            return weights @ v, weights
        check(Call(both), qkv())

    def test_repeated_heads_are_read_once(self):
        text = check_raised(Call(repeated_heads_formula), (*qkv(groups=2), some_rows_masked()))
        self.assertRegex(text, r"graph\.attention.*tensor<2x4x16x8xf32>, tensor<2x2x16x8xf32>, tensor<2x2x16x8xf32>")

    def test_causal_order_is_in_the_region(self):
        text = check_raised(sdpa(is_causal=True), qkv(), decompose=True)
        self.assertNotIn("16x16xf32>) maps", text.split("graph.attention")[0])
        self.assertRegex(text.split("graph.attention")[1], r"graph\.index 3[\s\S]*arith\.cmpi")


# -- FlexAttention ----------------------------------------------------------------------------------------------------

def compile_flex(module, args, dynamic_shapes=None, options=()):
    with torch.no_grad():
        program = torch.export.export(module.eval(), tuple(args), dynamic_shapes=dynamic_shapes)
    return compile(tenon.save(program, new_path(".pt2")), *options)


def check_flex(module, args, dynamic_shapes=None, others=()):
    path = compile_flex(module, args, dynamic_shapes)
    for values in (args, *others):
        want = eager(module, values)
        got = run(path, values)
        assert_close(got, want)
        again = run(path, values, threads=2)
        if not all((a == b).all() for a, b in zip(got, again)):
            raise AssertionError("bits depend on the number of threads")


def block_mask(mask, rows, keys=None, batch=None, heads=None):
    return create_block_mask(mask, batch, heads, rows, keys or rows, device="cpu")


def flex(mask=None, score=None, rows=200, keys=None, **options):
    """A module with constant functions."""
    blocks = block_mask(mask, rows, keys) if mask else None
    return Call(lambda q, k, v: flex_attention(q, k, v, score_mod=score, block_mask=blocks, **options))


def causal(b, h, q, k):
    return q >= k


def window(b, h, q, k):
    return (q >= k) & (q - k <= 37)


def prefix(b, h, q, k):
    return (q >= k) | (k < 50)


def soft_cap(score, b, h, q, k):
    return torch.tanh(score / 5) * 5


class Alibi(torch.nn.Module):
    def __init__(self, heads):
        super().__init__()
        self.register_buffer("slopes", 2.0 ** -torch.arange(1, heads + 1))

    def forward(self, q, k, v):
        return flex_attention(q, k, v, score_mod=lambda s, b, h, i, j: s + self.slopes[h] * (j - i))


class Documents(torch.nn.Module):
    """The ids of documents are an input; the block mask is made where it is used."""

    def forward(self, q, k, v, ids):
        mask = lambda b, h, i, j: (ids[b, i] == ids[b, j]) & (i >= j)
        return flex_attention(q, k, v, block_mask=block_mask(mask, q.size(2), k.size(2), batch=q.size(0)))


class Mixed(torch.nn.Module):
    """A table read at constant and at variable positions, a bound per batch."""

    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.randn(2, 4, 200))

    def forward(self, q, k, v, bound):
        score = lambda s, b, h, i, j: torch.tanh((s + self.table[b, h, j] + self.table[b, 0, i]) / 20) * 20
        mask = lambda b, h, i, j: (i >= j) | (j < bound[b])
        return flex_attention(q, k, v, score_mod=score, block_mask=block_mask(mask, 200, batch=2), enable_gqa=True)


class Paged(torch.nn.Module):
    """Keys and values in pages; the mask function translates physical positions."""

    def __init__(self, batch, pages, page, mask):
        super().__init__()
        from torch.nn.attention.experimental._paged_attention import PagedAttention

        cache = PagedAttention(pages, page, batch, device="cpu")
        for sequence in torch.randperm(batch).tolist():
            cache.reserve(torch.tensor(sequence), torch.tensor(page * 2 + 5 * sequence + 1))
        self.cache, self.page = cache, page
        self.register_buffer("logical", cache.physical_to_logical)
        self.mask = mask

    def forward(self, q, k, v, lengths):
        def mask(b, h, i, position):
            block = self.logical[b, position // self.page]
            key = block * self.page + position % self.page
            return torch.where(block >= 0, self.mask(b, h, i + lengths[b], key) & (key < lengths[b] + q.size(2)), False)
        return flex_attention(q, k, v, block_mask=block_mask(mask, q.size(2), k.size(2), batch=q.size(0)), enable_gqa=True)


def documents(batch, rows):
    return torch.sort(torch.randint(0, 5, (batch, rows)), dim=1).values


FLEX = [
    ("no functions", lambda: check_flex(flex(), qkv(rows=200))),
    ("causal", lambda: check_flex(flex(causal), qkv(rows=200))),
    ("causal, long", lambda: check_flex(flex(causal, rows=700), qkv(rows=700, heads=1, depth=16))),
    ("sliding window", lambda: check_flex(flex(window, rows=900), qkv(rows=900, heads=1, depth=16))),
    ("prefix", lambda: check_flex(flex(prefix), qkv(rows=200))),
    ("soft cap", lambda: check_flex(flex(causal, soft_cap), qkv(rows=200))),
    ("alibi", lambda: check_flex(Alibi(4), qkv(rows=200))),
    ("grouped heads, scale", lambda: check_flex(flex(causal, enable_gqa=True, scale=0.2), qkv(rows=200, groups=2))),
    ("cross attention", lambda: check_flex(flex(prefix, rows=70, keys=300), qkv(rows=70, keys=300))),
    ("rows without keys", lambda: check_flex(flex(lambda b, h, i, j: (i >= j) & (i % 7 != 3)), qkv(rows=200))),
    ("documents", lambda: check_flex(Documents(), (*qkv(rows=640, heads=1), documents(2, 640)),
                                     others=[(*qkv(rows=640, heads=1), torch.randint(0, 3, (2, 640)))])),
    ("mixed", lambda: check_flex(Mixed(), (*qkv(rows=200, groups=2), torch.tensor([3, 120])))),
    ("pages", lambda: check_flex(Paged(3, 12, 64, causal), (
        torch.randn(3, 4, 20, 16), torch.randn(1, 2, 768, 16), torch.randn(1, 2, 768, 16), torch.tensor([90, 30, 101])))),
    ("pages, one query", lambda: check_flex(Paged(3, 12, 64, causal), (
        torch.randn(3, 4, 1, 16), torch.randn(1, 2, 768, 16), torch.randn(1, 2, 768, 16), torch.tensor([90, 30, 101])))),
]


class Flex(unittest.TestCase):
    def test_compile_gives_what_is_called_like_the_model(self):
        module, args = flex(causal), qkv(rows=200)
        compiled = tenon.compile(module, args)
        result = compiled(*args)
        self.assertIsInstance(result, torch.Tensor)
        torch.testing.assert_close(result, module(*args), rtol=1e-4, atol=1e-5)
        arrays = compiled(*[x.numpy() for x in args])
        self.assertTrue((arrays == result.numpy()).all())

    def test_scores_in_half_are_sums_in_float(self):
        module, args = flex(causal, soft_cap), qkv(rows=200, dtype=torch.bfloat16)
        exact = module(*[x.double() for x in args])
        got = torch.from_numpy(run(compile_flex(module, args), args)[0].copy()).view(torch.bfloat16)
        ours, theirs = [(x.double() - exact).abs().max().item() for x in (got, eager(module, args)[0])]
        self.assertLessEqual(ours, 1.5 * theirs)

    def test_memory_does_not_hold_the_scores(self):
        """Blocks of scores grow until they fill the cache, and no further."""
        needs = []
        for rows in (2048, 4096):
            args = qkv(rows=rows, heads=1)
            with tenon.Program(compile_flex(flex(causal, rows=rows), args)) as program:
                with program.session(threads=1) as session:
                    session(*args)  # a session holds nothing before its first call
                    memory = session.memory()
                    needs.append(memory["arena_bytes"] + memory["scratch_bytes"])
        self.assertGreater(needs[0], 0)
        self.assertLess(needs[0], 2048 * 2048)
        self.assertEqual(needs[0], needs[1])


# -- packed sequences -------------------------------------------------------------------------------------------------

def packed(q, k, v, q_ends, k_ends, left, right):
    """Each sequence on its own."""
    results = []
    for i in range(len(q_ends) - 1):
        x, y, z = q[q_ends[i]:q_ends[i + 1]], k[k_ends[i]:k_ends[i + 1]], v[k_ends[i]:k_ends[i + 1]]
        y, z = (t.repeat_interleave(q.size(1) // k.size(1), 1).transpose(0, 1) for t in (y, z))
        shift = z.size(1) - x.size(0)
        rows, keys = torch.arange(x.size(0))[:, None] + shift, torch.arange(z.size(1))[None]
        keep = torch.ones(x.size(0), z.size(1), dtype=torch.bool)
        if left >= 0:
            keep &= keys >= rows - left
        if right >= 0:
            keep &= keys <= rows + right
        results.append(F.scaled_dot_product_attention(x.transpose(0, 1), y, z, attn_mask=keep).transpose(0, 1))
    return torch.cat(results)


def check_packed(window, groups=4, same=True, lengths=(40, 1, 130, 29)):
    from torch.nn.attention.varlen import varlen_attn

    ends = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
    key_ends = ends if same else torch.tensor([0, *[n + 11 for n in lengths]]).cumsum(0).to(torch.int32)
    args = (torch.randn(int(ends[-1]), 4, 16), torch.randn(int(key_ends[-1]), groups, 16),
            torch.randn(int(key_ends[-1]), groups, 16), ends, key_ends)
    module = Call(lambda q, k, v, a, b: varlen_attn(q, k, v, a, b, 256, 256, window_size=window, enable_gqa=groups != 4))
    want = packed(*args[:3], ends.tolist(), key_ends.tolist(), *window)
    assert_close(run(compile(export(module, args)), args), [want])


def check_block_table():
    from torch.nn.attention.varlen import varlen_attn

    lengths, page = torch.tensor([70, 9, 33], dtype=torch.int32), 32
    table = torch.tensor([[4, 1, 6], [2, 0, 0], [5, 3, 0]], dtype=torch.int32)
    k, v = torch.randn(7, page, 2, 16), torch.randn(7, page, 2, 16)
    ends = torch.tensor([0, 2, 3, 8], dtype=torch.int32)
    q = torch.randn(8, 4, 16)
    module = Call(lambda q, k, v, e, n, t: varlen_attn(q, k, v, e, None, 8, 96, window_size=(-1, 0), enable_gqa=True,
                                                       seqused_k=n, block_table=t))
    flat = lambda x: torch.cat([x[row.long()].flatten(0, 1)[:n] for row, n in zip(table, lengths)])
    key_ends = [0, *lengths.cumsum(0).tolist()]
    want = packed(q, flat(k), flat(v), ends.tolist(), key_ends, -1, 0)
    args = (q, k, v, ends, lengths, table)
    assert_close(run(compile(export(module, args)), args), [want])


PACKED = [
    ("full", lambda: check_packed((-1, -1))),
    ("causal", lambda: check_packed((-1, 0))),
    ("window, grouped heads", lambda: check_packed((20, 0), groups=2)),
    ("more keys than queries", lambda: check_packed((-1, 0), same=False)),
    ("pages", check_block_table),
]


class Decomposed(unittest.TestCase):
    pass


class HandWritten(unittest.TestCase):
    pass


class FlexFunctions(unittest.TestCase):
    pass


class Packed(unittest.TestCase):
    pass


add_cases(Decomposed, DECOMPOSED)
add_cases(HandWritten, HAND_WRITTEN)
add_cases(FlexFunctions, FLEX)
add_cases(Packed, PACKED)

if __name__ == "__main__":
    unittest.main()
