"""All benchmark models against eager PyTorch, at several sizes where they have symbolic ones. Run with --long."""

import unittest

import models
import tenon
from harness import add_cases, assert_close, compile, eager, new_path, torch


def check_model(name):
    case = models.get(name)
    path = new_path(".pt2")
    torch.export.save(case.export(), path)
    artifact = compile(path)
    want = eager(case.module, case.args)
    with tenon.Program(artifact) as program:
        results = []
        for threads in (1, 2, 4):
            with program.session(threads=threads) as session:
                results.append(session(*case.args))
        assert_close(results[0], want, case.scaled)
        for other in results[1:]:
            assert all(a.tobytes() == b.tobytes() for a, b in zip(results[0], other)), "bits depend on the threads"
    path.unlink()
    artifact.unlink()


def check_dynamic(name):
    """One artifact serves all sizes, and a row has the same bits at every batch."""
    case = models.get(name)
    path = new_path(".pt2")
    torch.export.save(case.export(), path)
    artifact = compile(path)
    generator = torch.Generator().manual_seed(2)
    with tenon.Program(artifact) as program, program.session(threads=2) as session:
        for length in (1, 7, 128, 512):
            ids = torch.randint(0, 20000, (8, length), generator=generator)
            whole = None
            for batch in (8, 3, 1):
                args = (ids[:batch].contiguous(),) + ((torch.ones(batch, length, dtype=torch.int64),) if len(case.args) > 1 else ())
                got = session(*args)
                whole = got if whole is None else whole
                assert got[0].tobytes() == whole[0][:batch].tobytes(), f"batch {batch}, length {length}: other bits"
                if batch == 1 or length < 512:
                    assert_close(got, eager(case.module, args))
    path.unlink()
    artifact.unlink()


class Models(unittest.TestCase):
    pass


class DynamicModels(unittest.TestCase):
    pass


add_cases(Models, [(name, lambda name=name: check_model(name)) for name in models.STATIC])
add_cases(DynamicModels, [(name, lambda name=name: check_dynamic(name)) for name in ("minilm_dynamic", "gpt2_dynamic")])

if __name__ == "__main__":
    unittest.main()
