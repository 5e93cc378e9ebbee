"""Operators that exported graphs keep when nobody decomposes them, against eager."""

import unittest

import numpy as np
import tenon
from harness import add_groups, assert_close, check, compile, eager, export, new_path, run, torch
from test_ops import Op

torch.manual_seed(17)
F, L, S = torch.nn.functional, torch.linalg, torch.special
NAN, INF = float("nan"), float("inf")
X = torch.randn(4, 5)
HOLES = torch.where(torch.rand(4, 6) > 0.8, NAN, torch.randn(4, 6))
Z = torch.randn(3, 4, dtype=torch.complex64)
Q = torch.tensor([0.0, 0.1, 0.5, 0.77, 1.0])
A = torch.randn(2, 5, 3)
SQUARE = torch.randn(2, 4, 4) + 4 * torch.eye(4)
COMPLEX = torch.randn(2, 4, 4, dtype=torch.complex64) + 4 * torch.eye(4)
GAMMA = torch.tensor([[0.0, 0.1, 0.5, 1, 3, 19, 21, 150, 2e4, 5, INF, -1, NAN]]).T
PLACES = torch.tensor([[0.0, 1e-3, 0.4, 1, 3.3, 15, 17, 24, 140, 160, 1.99e4, 2.02e4, INF, -2.0]])
WAVE = torch.randn(2, 400)
HANN = torch.hann_window(64)
LABELS = torch.tensor([[2, 0, -1, 1], [-1, 0, 1, 2], [3, 1, 2, 0]])
REPEATS = torch.tensor([2, 0, 3, 1])


def quantiles(mode):
    return lambda x, q: (torch.quantile(x, q, dim=1, interpolation=mode), torch.nanquantile(x, q, dim=0, interpolation=mode))


SHAPES = {
    "atleast": (lambda s, v: (torch.atleast_1d(s), torch.atleast_2d(s, v), torch.atleast_3d(s), torch.atleast_3d(v)),
                (torch.tensor(2.0), X[0])),
    "adjoint": (lambda x, z: (x.mH, z.mH, z.H, torch.view_as_real(z.adjoint().resolve_conj())), (A, Z)),
    "sum_to_size": (lambda x: (x.sum_to_size(5, 1), x.sum_to_size(1, 3), x.sum_to_size(2, 5, 3)), (A,)),
    "as_strided_scatter": (lambda x, y: torch.as_strided_scatter(x, y, (2, 2), (5, 2), 1), (X, torch.randn(2, 2))),
    "diagflat": (lambda x: (torch.diagflat(x), torch.diagflat(x, 2), torch.diagflat(x, -1)), (X[:2, :2],)),
    "splits": (lambda x: (*x.hsplit([1, 3]), *x.vsplit(2), *x[0].hsplit(5)), (X,)),
    "block_diag": (lambda x, v: torch.block_diag(x, v, x.T), (X, X[0])),
    "cartesian_prod": (lambda a, b: (torch.cartesian_prod(a, b), torch.cartesian_prod(a), torch.cartesian_prod(b, a, b)), (X[0], X[:, 0])),
    "alias_copy": (lambda x: torch.ops.aten.alias_copy(x) + 1, (X,)),
    "flat_scalars": (lambda s: (s.roll(3), s.repeat_interleave(2), s.flatten()), (torch.tensor(3.0),)),
    "pad_circular_crops": (lambda x: (F.pad(x, (-1, 2), mode="circular"), F.pad(x, (2, -2), mode="circular")), (X[None],)),
    "triangles": (lambda x: (x[:4] + torch.tril_indices(20, 20, -1).sum(), torch.triu_indices(30, 25, 2), torch.tril_indices(3, 7, 2),
                             torch.triu_indices(2, 3, 9)), (X,)),
    "take_along_dim": (lambda x, i: (x.take_along_dim(i, 1), x.take_along_dim(i.abs())), (X, torch.tensor([[-1, 0], [2, -5], [1, 1], [4, 3]]))),
    "max_unpool": (lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2, output_size=(7, 6)), (torch.randn(2, 3, 7, 6),)),
    "affine_grid": (lambda t, u: (F.affine_grid(t, (2, 3, 4, 5), align_corners=False), F.affine_grid(t, (2, 3, 1, 5), align_corners=True),
                                  F.affine_grid(u, (2, 1, 3, 4, 5), align_corners=False)), (torch.randn(2, 2, 3), torch.randn(2, 3, 4))),
    "masked_index": (lambda x, m, i: torch.ops.aten._unsafe_masked_index(x, m, [i, i], 7.0),
                     (X, torch.tensor([True, False, True]), torch.tensor([1, 99, -1]))),
    "nonzero_static": (lambda x: (torch.nonzero_static(x > 0, size=5), torch.nonzero_static(x > 9, size=2, fill_value=4)), (X,)),
}

NUMBERS = {
    "isclose": (lambda x, y: (torch.isclose(x, y), torch.isclose(x, y, rtol=0.5, equal_nan=True), torch.isclose(x.long(), y.long())),
                (torch.tensor([1.0, 2, NAN, INF, 0]), torch.tensor([1.000001, 2.5, NAN, INF, 1e-9]))),
    "isreal": (lambda x, z: (torch.isreal(x), torch.isreal(z)), (X, torch.tensor([1 + 0j, 1j]))),
    "frexp": (lambda x: tuple(torch.frexp(x)), (torch.tensor([0.0, -3.5, 1e-40, 0.5, 1e30, INF, NAN]),)),
    "frexp_double": (lambda x: tuple(torch.frexp(x)), (torch.tensor([5e-324, -1e308, 0.75], dtype=torch.float64),)),
    "nextafter": (torch.nextafter, (torch.tensor([0.0, 1, 1, -1, -1, 0, NAN, INF]), torch.tensor([1.0, 2, 0, 0, -2, -1, 0, 0]))),
    "logspace": (lambda x: x + torch.logspace(-1, 2, 5) + torch.logspace(0, 3, 5, base=2), (X,)),
    "sgn": (lambda z: z.sgn() + (z * 0).sgn(), (Z,)),
    "vdot": (lambda z, x: (torch.vdot(z[0], z[1]), torch.vdot(x[0], x[1]), L.vecdot(z, z[:1]), L.vecdot(x, x, dim=0)), (Z, X)),
    "inner": (lambda a, x: (torch.inner(a, a[0]), torch.inner(x, x[:2]), torch.inner(x[0], x[1])), (A, X)),
    "tensordot_ones": (lambda a, b: torch.tensordot(a, b, ([0, 1], [2, 0])), (torch.randn(2, 3, 4), torch.randn(3, 5, 1))),
    "multi_dot": (lambda a, b, c: (L.multi_dot((a, b, c)), torch.chain_matmul(a, b), L.multi_dot((a[0], b, c[:, 0]))),
                  (torch.randn(3, 4), torch.randn(4, 5), torch.randn(5, 2))),
    "safe_softmax": (lambda x: torch.ops.aten._safe_softmax(x, -1), (torch.tensor([[1.0, 2], [-INF, -INF], [-INF, 0]]),)),
    "gradient": (lambda x: (*torch.gradient(x), *torch.gradient(x, spacing=0.5, dim=1, edge_order=2), *torch.gradient(x, spacing=[2.0, 3.0], dim=(1, 0))), (X,)),
    "trapezoid": (lambda x, s: (torch.trapezoid(x), torch.trapezoid(x, dx=0.5, dim=0), torch.trapezoid(x, s), torch.trapz(x, s),
                                torch.cumulative_trapezoid(x, s.expand(4, 5)), torch.cumulative_trapezoid(x, dim=0)), (X, X[0].cumsum(0))),
    "renorm": (lambda a: (a.renorm(2, 0, 1.0), a.renorm(1, 2, 0.5)), (A,)),
}

QUANTILES = {mode: (quantiles(mode), (HOLES, Q)) for mode in ("linear", "lower", "higher", "nearest", "midpoint")}
QUANTILES["whole"] = (lambda x: (x.quantile(0.3), x.quantile(0.5, dim=0, keepdim=True), x.nanquantile(torch.tensor([0.2, 0.9]), keepdim=True)), (X,))

SPECIAL = {
    "igamma": (lambda a, x: (torch.igamma(a, x), torch.igammac(a, x)), (GAMMA, PLACES)),
    "igamma_double": (lambda a, x: (torch.igamma(a, x), torch.igammac(a, x)), (GAMMA.double()[1:10], PLACES.double()[:, 1:12])),
    "bessel": (lambda x: (torch.i0(x), S.i0e(x), S.i1(x), S.i1e(x)), (torch.tensor([0.0, -0.1, 1, 7.5, -19.9, 20.1, 60, -85]),)),
    "normal": (lambda p, x: (S.ndtri(p), torch.erfinv(2 * p - 1), S.ndtr(x), S.log_ndtr(x)),
               (torch.tensor([0.0, 1e-30, 1e-8, 1e-3, 0.2, 0.5, 0.6, 0.999, 1, 2]), torch.tensor([-30.0, -8, -1.1, -0.9, 0, 0.5, 3, 9]))),
    "products": (lambda x, y: (S.entr(x), torch.sinc(x), S.xlog1py(x, y)), (torch.tensor([0.0, 0.3, 2, -1]), torch.tensor([-1.0, 3, 0, 5]))),
    "mvlgamma": (lambda x: (torch.mvlgamma(x, 1), torch.mvlgamma(x, 4)), (torch.tensor([2.0, 3.7, 11]),)),
    "polygamma": (lambda x: (torch.polygamma(1, x), torch.polygamma(2, x), S.zeta(torch.full_like(x, 3.0), x)),
                  (torch.tensor([-8.47, -3.9, -0.5, 0.3, 2, 40.0], dtype=torch.float64),)),
}

LOSSES = {
    "margins": (lambda a, b, t: (F.margin_ranking_loss(a, b, t, 0.3), F.soft_margin_loss(a, t), F.hinge_embedding_loss(a, t, 0.5),
                                 F.margin_ranking_loss(a, b, t, reduction="none")), (X, torch.randn(4, 5), torch.sign(torch.randn(4, 5)))),
    "poisson": (lambda x, t: (F.poisson_nll_loss(x, t), F.poisson_nll_loss(x.exp(), t, log_input=False, full=True)), (X, torch.rand(4, 5) * 5)),
    "cosine_embedding": (lambda a, b, t: F.cosine_embedding_loss(a, b, t, 0.1), (X, torch.randn(4, 5), torch.tensor([1, -1, 1, -1]))),
    "triplet": (lambda a, b, c: (F.triplet_margin_loss(a, b, c), F.triplet_margin_loss(a, b, c, 2.0, 1, swap=True, reduction="sum")),
                (X, torch.randn(4, 5), torch.randn(4, 5))),
    "multi_margin": (lambda x, t, w: (F.multi_margin_loss(x, t), F.multi_margin_loss(x, t, 2, 0.5, w, reduction="none"), F.multi_margin_loss(x[0], t[0])),
                     (X, torch.tensor([0, 4, 2, 2]), torch.rand(5))),
    "multilabel": (lambda x, t: (F.multilabel_margin_loss(x, t), F.multilabel_margin_loss(x, t, reduction="none")), (torch.randn(3, 4), LABELS)),
}

MATRICES = {
    "reflections": (lambda a, c: (*torch.geqrf(a), L.householder_product(*torch.geqrf(a)), torch.ormqr(*torch.geqrf(a), c),
                                  torch.ormqr(*torch.geqrf(a), c.mT, left=False, transpose=True)), (A, torch.randn(2, 5, 2))),
    "qr": (lambda a: (*torch.qr(a), *torch.qr(a, some=False)), (A,)),
    "old_factors": (lambda a: (torch.lu(a)[0], torch.svd(a).S, torch.pinverse(a)), (SQUARE,)),
    "exp": (lambda a: (torch.matrix_exp(a), torch.matrix_exp(a * 1e-3), torch.matrix_exp(-a * 3)), (SQUARE,)),
    "power": (lambda a: (L.matrix_power(a, 5), L.matrix_power(a, -2), L.matrix_power(a, 0)), (SQUARE,)),
    "determinants": (lambda a: (torch.logdet(a @ a.mT), torch.logdet(-torch.eye(3)), torch.logdet(torch.zeros(2, 2))), (SQUARE,)),
    "norms": (lambda a: (*(L.matrix_norm(a, o) for o in ("fro", "nuc", 1, -1, 2, -2, INF, -INF)), L.matrix_norm(a, 1, (0, 2), True)), (A,)),
    "conditions": (lambda a: (*(L.cond(a, o) for o in (None, 2, -2, 1, "fro", INF)),), (SQUARE,)),
    "ranks": (lambda a: (L.matrix_rank(a), L.matrix_rank(a @ a.mT), L.matrix_rank(a @ a.mT, hermitian=True), L.matrix_rank(a, atol=1.5, rtol=0.1)), (A,)),
    "tensors": (lambda a, b: (L.tensorinv(a, 2), L.tensorsolve(a, b)), (torch.randn(2, 3, 6), torch.randn(2, 3))),
    "vander": (lambda x: (L.vander(x), L.vander(x, N=3)), (X,)),
    "complex": (lambda a, b: (L.inv(a), L.solve(a, b), L.solve(a, b[..., 0])), (COMPLEX, torch.randn(2, 4, 3, dtype=torch.complex64))),
}

SIGNALS = {
    "stft": (lambda x, w: (torch.stft(x, 64, 16, window=w, return_complex=True), torch.stft(x, 64, win_length=40, center=False, return_complex=True)),
             (WAVE, HANN)),
    "stft_parts": (lambda x, w: torch.view_as_real(torch.stft(x[0], 64, window=w, normalized=True, onesided=False, return_complex=True)), (WAVE, HANN)),
    "istft": (lambda z, w: (torch.istft(z, 64, 16, window=w), torch.istft(z, 64, 16, window=w, length=300, normalized=True),
                            torch.istft(z[0], 64, 16)), (torch.stft(WAVE, 64, 16, window=HANN, return_complex=True), HANN)),
    "windows": (lambda x: (x + torch.hann_window(5), torch.hamming_window(9, periodic=False), torch.blackman_window(8), torch.bartlett_window(7),
                           torch.hann_window(1)), (X,)),
    "shifts": (lambda x: (torch.fft.fftshift(x), torch.fft.ifftshift(x, dim=1)), (X,)),
    "hermitian": (lambda z, x: (torch.fft.hfft(z), torch.fft.hfft(z, n=5, norm="ortho"), torch.fft.ihfft(x), torch.fft.ihfft2(x)), (Z, X)),
}


class Norms(torch.nn.Module):
    """Running statistics change while the model trains."""

    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm2d(3)

    def forward(self, x):
        return self.norm(x), self.norm.running_mean + 0, self.norm.running_var + 0


class CompositesTest(unittest.TestCase):
    def test_batch_norm_trains(self):
        x, y = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4) * 2 + 1
        module = Norms().train()
        with torch.no_grad():
            program = torch.export.export(module, (x,), strict=False)
        path = new_path(".pt2")
        torch.export.save(program, path)
        loaded = tenon.Program(compile(path))
        session = loaded.session()
        for value in (x, y, x):
            assert_close(session(value), eager(module, (value,)))
        session.close()
        loaded.close()

    def test_complex_never_becomes_real(self):
        """What is not known for complex numbers is reported; imaginary parts are never dropped."""
        check(Op(lambda z: (z.norm(dim=1), z.norm(p=1), L.vector_norm(z), z.abs().var(1), z.bool())), (Z,))
        for function in (lambda z: z.var(), lambda z: F.l1_loss(z, z * 2), lambda z: torch.lerp(z, z * 1j, 0.3)):
            with self.assertRaisesRegex(AssertionError, "status 3[^$]*on complex numbers"):
                compile(export(Op(function), (Z,)))

    def test_sizes_with_fractions(self):
        """Sizes that torch computes in floating point stay symbolic."""
        grows = Op(lambda x: (F.interpolate(x, scale_factor=2.5), F.interpolate(x, scale_factor=0.6, mode="bilinear"),
                              F.interpolate(x, scale_factor=1.3, mode="bicubic", recompute_scale_factor=True)))
        side = torch.export.Dim("side", min=7, max=64)
        check(grows, (torch.randn(1, 2, 8, 9),), (({2: side},),), others=[(torch.randn(1, 2, n, 9),) for n in (7, 10, 15, 64)])

    def test_found_lengths(self):
        class Lengths(torch.nn.Module):
            def forward(self, x, n):
                longer, counts = x.repeat_interleave(n, 0), torch.bincount(n, minlength=3)
                torch._check(longer.size(0) <= 40)
                torch._check(counts.size(0) <= 20)
                return longer * 2, counts

        check(Lengths(), (X, REPEATS), others=[(X, torch.tensor([0, 0, 9, 0])), (X, torch.tensor([0, 0, 0, 0]))])

    def test_random_inside_vmap(self):
        """One draw for all elements, or one for each: as asked for."""
        def noise(randomness):
            return Op(lambda x: torch.func.vmap(lambda row: row * 0 + torch.randn(5), randomness=randomness)(x))
        for decompose in (True, False):
            rows, = run(compile(export(noise("same"), (X,), decompose=decompose)), (X,))
            self.assertTrue((rows == rows[0]).all() and len(np.unique(rows)) == 5)
        rows, = run(compile(export(noise("different"), (X,), decompose=True)), (X,))
        self.assertEqual(len(np.unique(rows)), 20)
        with self.assertRaisesRegex(AssertionError, "under vmap; .*run_decompositions"):
            compile(export(noise("different"), (X,)))


for cases in (SHAPES, NUMBERS, QUANTILES, SPECIAL, LOSSES, SIGNALS):
    add_groups(CompositesTest, cases, decompose=False, factor=4)
add_groups(CompositesTest, MATRICES, size=6, decompose=False, scaled=True, factor=20)

if __name__ == "__main__":
    unittest.main()
