"""FlexAttention on devices: score functions and masks in every kernel for attention, and blocks of keys that no row of a tile sees."""

import unittest

from harness import assert_close, eager, run, torch
from test_attention import Documents, causal, compile_flex, documents, flex, soft_cap, window
from test_devices import is_here


def qkv(rows, dtype, keys=None, heads=2, depth=32):
    return tuple(torch.randn(1, heads, n, depth).to(dtype) for n in (rows, keys or rows, keys or rows))


class Suite:
    target = device = None

    def compile(self, module, args):
        return compile_flex(module, args, options=[f"--target={self.target}"])

    def check(self, module, args):
        # Eager rounds every step to the type of the operands.
        want = eager(module, tuple(x.float() if x.is_floating_point() else x for x in args))
        got = run(self.compile(module, args), args, device=self.device)
        assert_close(got, [w.to(args[0].dtype) for w in want], scaled=True)

    def test_functions(self):
        for dtype in (torch.float32, torch.float16):
            self.check(flex(causal, soft_cap, rows=150), qkv(150, dtype))
            self.check(flex(window, rows=150), qkv(150, dtype))
            self.check(flex(window, rows=9, keys=150), qkv(9, dtype, 150))

    def test_documents(self):
        for dtype in (torch.float32, torch.float16):
            self.check(Documents(), (*qkv(200, dtype), documents(1, 200)))

    def test_hidden_blocks_are_not_read(self):
        """A weight of 0 makes NaN of NaN: results are numbers where blocks of such values are not read."""
        for dtype in (torch.float32, torch.float16):
            q, k, v = qkv(256, dtype)
            path = self.compile(flex(window, rows=256), (q, k, v))
            v[:, :, :64] = torch.nan
            result = torch.as_tensor(run(path, (q, k, v), device=self.device)[0])
            self.assertTrue(result[:, :, :64].isnan().any())
            self.assertFalse(result[:, :, 192:].isnan().any())


@unittest.skipUnless(is_here("vulkan"), "no device of Vulkan")
class Vulkan(Suite, unittest.TestCase):
    target = device = "vulkan"


@unittest.skipUnless(is_here("cuda:sm_80"), "neither a GPU of NVIDIA nor its emulator")
class Cuda(Suite, unittest.TestCase):
    target, device = "cuda:sm_80", "cuda"


if __name__ == "__main__":
    unittest.main()
