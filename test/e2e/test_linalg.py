"""torch.linalg against eager; factors whose signs are free are multiplied back."""

import unittest

import numpy as np
from harness import add_groups, compile, export, run, torch
from test_ops import Op

torch.manual_seed(3)


def matrices(*shape, dtype=torch.float32):
    return torch.randn(*shape, dtype=dtype)


def regular(*batch, n=5):
    return matrices(*batch, n, n) + n * torch.eye(n)


def positive(*batch, n=5):
    a = matrices(*batch, n, n)
    return a @ a.mT + n * torch.eye(n)


L = torch.linalg
LOWER = torch.tril(regular(2, 3))

CASES = {
    "lu_factor": (lambda a: L.lu_factor(a), (matrices(2, 5, 5),)),
    "lu_factor_wide": (lambda a: L.lu_factor(a), (matrices(3, 6),)),
    "lu_factor_tall": (lambda a: L.lu_factor(a), (matrices(7, 4),)),
    "lu": (lambda a: L.lu(a), (matrices(2, 4, 6),)),
    "lu_unpack": (lambda a: torch.lu_unpack(*L.lu_factor(a)), (matrices(6, 4),)),
    "lu_solve": (lambda a, b: L.lu_solve(*L.lu_factor(a), b), (regular(2), matrices(2, 5, 3))),
    "lu_solve_adjoint": (lambda a, b: L.lu_solve(*L.lu_factor(a), b, adjoint=True), (regular(2), matrices(2, 5, 3))),
    "lu_solve_right": (lambda a, b: L.lu_solve(*L.lu_factor(a), b, left=False), (regular(2), matrices(2, 3, 5))),
    "lu_solve_both": (lambda a, b: L.lu_solve(*L.lu_factor(a), b, left=False, adjoint=True), (regular(), matrices(3, 5))),
    "solve": (L.solve, (regular(2), matrices(2, 5, 3))),
    "solve_vector": (L.solve, (regular(2), matrices(2, 5))),
    "solve_broadcast": (L.solve, (regular(4, 1), matrices(3, 5, 2))),
    "solve_right": (lambda a, b: L.solve(a, b, left=False), (regular(2), matrices(2, 3, 5))),
    "inv": (L.inv, (regular(2, 3),)),
    "inv_one": (L.inv, (regular(n=1),)),
    "det": (L.det, (matrices(3, 4, 4),)),
    "slogdet": (lambda a: tuple(L.slogdet(a)), (matrices(3, 4, 4),)),
    "singular_det": (L.det, (torch.ones(3, 3),)),
    "cholesky": (L.cholesky, (positive(2, 3),)),
    "cholesky_upper": (lambda a: L.cholesky(a, upper=True), (positive(2),)),
    "cholesky_info": (lambda a: L.cholesky_ex(a).info, (torch.stack([torch.eye(3), -torch.eye(3), torch.diag(torch.tensor([1.0, -1, 1]))]),)),
    "cholesky_solve": (lambda b, a: torch.cholesky_solve(b, L.cholesky(a)), (matrices(2, 5, 3), positive(2))),
    "cholesky_inverse": (lambda a: torch.cholesky_inverse(L.cholesky(a)), (positive(),)),
    "solve_triangular": (lambda a, b: L.solve_triangular(a, b, upper=False), (LOWER, matrices(2, 3, 5, 2))),
    "solve_triangular_right": (lambda a, b: L.solve_triangular(a.mT, b, upper=True, left=False), (LOWER, matrices(2, 3, 2, 5))),
    "triangular_unit": (lambda a, b: L.solve_triangular(a, b, upper=False, unitriangular=True), (LOWER / 5, matrices(2, 3, 5, 2))),
    "qr": (lambda a: L.qr(a), (matrices(2, 6, 4),)),
    "qr_wide": (lambda a: L.qr(a), (matrices(3, 6),)),
    "qr_complete": (lambda a: L.qr(a, mode="complete"), (matrices(6, 4),)),
    "qr_r": (lambda a: L.qr(a, mode="r").R, (matrices(5, 5),)),
    "eigvalsh": (L.eigvalsh, (positive(3),)),
    "eigvalsh_one": (L.eigvalsh, (positive(2, n=1),)),
    "svdvals": (L.svdvals, (matrices(2, 7, 4),)),
    "svdvals_wide": (L.svdvals, (matrices(2, 3, 6),)),
    "nuclear": (lambda a: L.matrix_norm(a, "nuc"), (matrices(4, 6),)),
    "pinv": (L.pinv, (matrices(2, 6, 4),)),
    "pinv_singular": (L.pinv, (torch.outer(torch.arange(1.0, 5), torch.arange(1.0, 4)),)),
    "pinv_hermitian": (lambda a: L.pinv(a, hermitian=True), (positive(2),)),
    "matrix_power": (lambda a: L.matrix_power(a, -2), (regular(2),)),
    "double": (L.solve, (regular(2).double(), matrices(2, 5, 3).double())),
}


class LinalgTest(unittest.TestCase):
    def close(self, got, want, limit=1e-4):
        self.assertEqual(got.shape, tuple(want.shape))
        self.assertLess(np.abs(got - want.numpy()).max(), limit * max(1, want.abs().max().item()))

    def check_orthogonal(self, q):
        self.close(np.swapaxes(q, -1, -2) @ q, torch.eye(q.shape[-1]).expand(*q.shape[:-2], -1, -1))

    def test_eigh(self):
        for a in (positive(2, n=6), matrices(3, 3).mT @ torch.zeros(3, 3), torch.ones(5, 5), positive(n=2)):
            path = compile(export(Op(lambda a: tuple(L.eigh(a))), (a,)))
            values, vectors = run(path, (a,))
            self.close(values, L.eigvalsh(a))
            self.check_orthogonal(vectors)
            self.close(vectors @ (values[..., None] * np.swapaxes(vectors, -1, -2)), a)

    def test_svd(self):
        rank_one = torch.outer(torch.arange(1.0, 6), torch.arange(1.0, 4))
        for a, full in ((matrices(2, 6, 4), False), (matrices(2, 3, 5), False), (matrices(6, 4), True),
                        (matrices(3, 5), True), (rank_one, True), (torch.zeros(3, 3), False)):
            path = compile(export(Op(lambda a: tuple(L.svd(a, full_matrices=full))), (a,)))
            u, s, vh = run(path, (a,))
            self.assertEqual((u.shape, vh.shape), tuple(tuple(L.svd(a, full_matrices=full)[i].shape) for i in (0, 2)))
            self.close(s, L.svdvals(a))
            self.check_orthogonal(u)
            self.check_orthogonal(np.swapaxes(vh, -1, -2))
            k = s.shape[-1]
            self.close(u[..., :k] @ (s[..., None] * vh[..., :k, :]), a)

    def test_larger(self):
        a = positive(n=40)
        path = compile(export(Op(lambda a, b: (L.solve(a, b), L.eigvalsh(a), L.svdvals(b))), (a, matrices(40, 7))))
        b = matrices(40, 7)
        for got, want in zip(run(path, (a, b)), (L.solve(a, b), L.eigvalsh(a), L.svdvals(b))):
            self.close(got, want)


add_groups(LinalgTest, CASES, factor=20, scaled=True)

if __name__ == "__main__":
    unittest.main()
