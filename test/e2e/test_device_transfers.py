"""Copies of inputs and results beside a device's kernels, on the CUDA emulator: it takes any order of work that was not forbidden
(docs/emulators.md), so that a missing wait gives wrong numbers in some of them, and tells what ran when."""

import ctypes
import os
import pathlib
import subprocess
import sys
import unittest

import torch
from torch import nn

import tenon
from tenon import locate
from harness import assert_close, compile, eager, export
from test_devices import gpu_is_there

EMULATOR = pathlib.Path(locate.driver()).parent.parent / "test" / "emulators" / "cuda" / "libcuda.so.1"
LATE, EARLY, OTHERS = ORDERS = range(3)
WIDTH = 600
# Rows whose tensors go in one copy each way, as nodes of one graph, and in pieces between graphs.
SMALL, MIDDLE, LARGE = 20, 120, 440


class Several(nn.Module):
    """A result that is ready before the last kernels, and an input that only the last one needs."""

    def forward(self, row, first, late):
        early = (first * 2 + row).softmax(-1)
        x = first
        for _ in range(3):
            x = (x + row).softmax(-1) * 3
        return early, x - late, late.sum(-1)


class Mixed(nn.Module):
    """Tensors of all sizes, some of none."""

    def forward(self, *tensors):
        total = sum(x[:1].sum() for x in tensors)
        return [x * (i + 1) + total for i, x in enumerate(tensors)]


class Sorting(nn.Module):
    """A kernel of the CPU between others, with results before and after it."""

    def forward(self, x, late):
        before = (x + 1).softmax(-1)
        values = (x * 2).sort(1).values
        return before, values.softmax(-1) + late, values


class Looping(nn.Module):
    """A state, and the host looks at what the device found."""

    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.zeros(WIDTH))

    def forward(self, x, late):
        self.total.add_(x.sum(0))
        n, y = torch.while_loop(lambda n, y: y[0].sum() < 100, lambda n, y: (n + 1, y * 2), (torch.tensor(0), x.abs() + 1))
        return y.softmax(-1), n, late * 2, self.total * 1


class Taking(nn.Module):
    def forward(self, x, index, late):
        return x.softmax(-1), x[index] * 2, late + 1


class Table(nn.Module):
    """More constants than go up in one piece."""

    def __init__(self):
        super().__init__()
        self.rows = nn.Embedding(40000, 132)

    def forward(self, index):
        return self.rows(index)


def rows(*names):
    n = torch.export.Dim("n", max=4000)
    return {name: {0: n} for name in names}


ROWS = {"row": None, **rows("first", "late")}


def several(n):
    return torch.randn(WIDTH), torch.randn(n, WIDTH), torch.randn(n, WIDTH)


@unittest.skipIf(gpu_is_there() or not EMULATOR.exists(), "needs the CUDA emulator")
class Transfers(unittest.TestCase):
    def setUp(self):
        self.emulator = ctypes.CDLL(str(EMULATOR))
        self.emulator.tn_emulator_statistics.restype = ctypes.c_ulonglong
        self.emulator.tn_emulator_trace.restype = ctypes.c_char_p
        self.addCleanup(self.emulator.tn_emulator_order, LATE)

    def open(self, module, args, dynamic_shapes=None):
        program = tenon.Program(compile(export(module, args, dynamic_shapes), "--target=cuda:sm_80"), device="cuda")
        self.addCleanup(program.close)
        return program

    def session(self, program, order=LATE):
        self.emulator.tn_emulator_order(order)
        session = program.session()
        self.addCleanup(session.close)
        return session

    def commands(self):
        return self.emulator.tn_emulator_statistics(b"commands")

    def trace(self, session, args):
        """What a call runs, without the names of kernels; equal neighbours are one."""
        self.emulator.tn_emulator_trace()
        session(*args)
        lines = [line.split()[0] for line in self.emulator.tn_emulator_trace().decode().splitlines()]
        return [line for i, line in enumerate(lines) if i == 0 or line != lines[i - 1]]

    def check(self, module, make, dynamic_shapes, sizes):
        """Calls with these sizes in all orders, each time with other numbers."""
        program = self.open(module, make(sizes[0]), dynamic_shapes)
        for order in ORDERS:
            session = self.session(program, order)
            for n in sizes:
                args = make(n)
                assert_close(session(*args), eager(module, args), scaled=True)

    def test_repeated_calls(self):
        sizes = (SMALL, SMALL, MIDDLE, MIDDLE, MIDDLE, LARGE, LARGE, LARGE, SMALL)
        self.check(Several(), several, ROWS, sizes)

    def test_tensors_of_all_sizes(self):
        sizes = (3, 0, 20000, 1, 270000, 0, 50000, 7, 90000, 2)
        self.check(Mixed(), lambda _: tuple(torch.randn(n) for n in sizes), None, (0,) * 3)

    def test_constants_in_pieces(self):
        module, index = Table(), torch.arange(0, 40000, 1111)
        path = compile(export(module, (index,)), "--target=cuda:sm_80")
        for order in ORDERS:
            self.emulator.tn_emulator_order(order)
            program = tenon.Program(path, device="cuda")
            self.addCleanup(program.close)
            assert_close(self.session(program, order)(index), eager(module, (index,)))

    def test_what_runs_on_the_cpu(self):
        self.check(Sorting(), lambda n: (torch.randn(n, WIDTH), torch.randn(n, WIDTH)), rows("x", "late"), (MIDDLE, MIDDLE, LARGE, LARGE))

    def test_host_that_looks(self):
        module = Looping()
        make = lambda: (torch.rand(LARGE, WIDTH) - 0.5, torch.randn(LARGE, WIDTH))
        program = self.open(module, make())
        for order in ORDERS:
            module.total.zero_()
            session = self.session(program, order)
            for _ in range(2):
                args = make()
                assert_close(session(*args), eager(module, args), scaled=True)

    def test_failures_are_reported(self):
        module = Taking()
        make = lambda n: (torch.randn(n, WIDTH), torch.randint(0, n, (9,)), torch.randn(n, WIDTH))
        program = self.open(module, make(LARGE), rows("x", "late") | {"index": None})
        for order, n in ((LATE, LARGE), (EARLY, MIDDLE), (OTHERS, LARGE)):
            session = self.session(program, order)
            for bad in (False, True, False, True):  # as it is told, as it is recorded, replays
                args = make(n)
                if not bad:
                    assert_close(session(*args), eager(module, args), scaled=True)
                    continue
                args[1][7] = n
                with self.assertRaisesRegex(tenon.Error, "index|range"):
                    session(*args)

    def test_calls_of_the_driver(self):
        """A small call asks no more of it than its kernels and a copy each way; a repeated one is one graph."""
        session = self.session(self.open(Several(), several(SMALL), ROWS))
        kernels = self.emulator.tn_emulator_statistics(b"launches")
        before = self.commands()
        session(*several(SMALL))
        kernels = self.emulator.tn_emulator_statistics(b"launches") - kernels
        self.assertGreater(kernels, 2)
        self.assertEqual(self.commands() - before, kernels + 2)
        for n in (SMALL, MIDDLE):
            for _ in range(2):
                session(*several(n))
            before, waits = self.commands(), self.emulator.tn_emulator_statistics(b"synchronizations")
            session(*several(n))
            self.assertEqual(self.commands() - before, 1)
            self.assertEqual(self.emulator.tn_emulator_statistics(b"synchronizations") - waits, 1)

    def test_copies_wait_for_what_they_need_only(self):
        """Of a graph's possible orders: the one in which it was told has the early result go down before the last kernels, and the
        late input come up after the first; the opposite one has all inputs before, and all results behind."""
        session = self.session(self.open(Several(), several(MIDDLE), ROWS))
        for _ in range(2):
            session(*several(MIDDLE))
        self.assertEqual(self.trace(session, several(MIDDLE)), ["to-device", "kernel", "to-host"])
        self.emulator.tn_emulator_order(EARLY)
        told = self.trace(session, several(MIDDLE))
        self.assertLess(told.index("kernel"), len(told) - 1 - told[::-1].index("to-device"))
        self.assertLess(told.index("to-host"), len(told) - 1 - told[::-1].index("kernel"))

    def test_large_copies_go_beside_kernels(self):
        """The host gets the early result while later kernels have not run yet, in the first call as in a repeated one; and
        kernels are told before it has copied the late input."""
        session = self.session(self.open(Several(), several(LARGE), ROWS))
        session(*several(LARGE))
        for _ in range(3):
            trace = self.trace(session, several(LARGE))
            self.assertLess(trace.index("to-host"), len(trace) - 1 - trace[::-1].index("kernel"))
            self.assertLess(trace.index("kernel"), len(trace) - 1 - trace[::-1].index("to-device"))

    def test_device_that_is_lost(self):
        """In the first call, in the recorded one, and in a replay: each call after it fails too, and nothing else does. In a process
        of its own, since the emulator reads its orders once."""
        model = export(Several(), several(LARGE), ROWS)
        path = compile(model, "--target=cuda:sm_80", "--target=cpu")
        script = ("import sys, numpy as np, ctypes\n"
                  "ctypes.CDLL(sys.argv[2])\n"
                  "import tenon\n"
                  "args = [np.ones(shape, np.float32) for shape in ((600,), (440, 600), (440, 600))]\n"
                  "for device in ('cuda', 'cpu'):\n"
                  "    program = tenon.Program(sys.argv[1], device=device)\n"
                  "    session = program.session()\n"
                  "    for _ in range(4):\n"
                  "        try:\n"
                  "            session(*args)\n"
                  "            print('good')\n"
                  "        except tenon.Error as error:\n"
                  "            print('bad', error)\n"
                  "    session.close()\n"
                  "    program.close()\n"
                  "print('end')\n")
        session = self.session(self.open(Several(), several(LARGE), ROWS))
        kernels = self.emulator.tn_emulator_statistics(b"kernels")
        session(*several(LARGE))
        kernels = self.emulator.tn_emulator_statistics(b"kernels") - kernels
        for call in range(3):
            done = subprocess.run([sys.executable, "-c", script, path, EMULATOR], capture_output=True, text=True, timeout=120,
                                  env={**os.environ, "TN_EMULATED_CUDA_LOSE": str(call * kernels + 2), "PYTHONPATH": os.pathsep.join(sys.path)})
            lines = done.stdout.splitlines()
            self.assertEqual([line.split()[0] for line in lines], ["good"] * call + ["bad"] * (4 - call) + ["good"] * 4 + ["end"], done.stderr[-500:])
            for line in lines[call:4]:
                self.assertRegex(line, r"cannot .*: CUDA_ERROR_LAUNCH_FAILED \(719\)")


if __name__ == "__main__":
    unittest.main()
