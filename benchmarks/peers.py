"""Other engines next to tenon, each in a process of its own: eager PyTorch, AOTInductor, ONNX Runtime, tenon.

A worker process loads one model in one engine and then waits; only the one that is told to work takes time on the
machine, so the engines' thread pools do not disturb each other. See run.py for the measurements made of them.
"""

import json
import os
import pathlib
import subprocess
import sys
import time

TREE = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TREE / "python"), str(TREE / "benchmarks")]

NAMES = ("tenon", "eager", "aoti", "ort")
TITLES = {"tenon": "tenon", "eager": "eager", "aoti": "AOTInductor", "ort": "ONNX Runtime"}


class Files:
    """Where a model's artifacts lie. They are made once and kept, because AOTInductor takes half a minute for each."""

    def __init__(self, folder, model):
        self.folder = pathlib.Path(folder) / model
        self.folder.mkdir(parents=True, exist_ok=True)

    def __getattr__(self, name):
        known = {"program": "model.pt2", "data": "io.npz", "onnx": "model.onnx", "tenon": "model.tenon"}
        return self.folder / known[name]

    def aoti(self, threads):
        return self.folder / f"aoti.{threads}.pt2"

    def arrays(self, prefix):
        import numpy as np

        with np.load(self.data) as stored:
            return [stored[f"{prefix}{i}"] for i in range(sum(name.startswith(prefix) for name in stored.files))]


def flat(value):
    """The tensors of a nest of lists, tuples and dicts, in order."""
    import torch

    if isinstance(value, torch.Tensor):
        return [value]
    values = value.values() if isinstance(value, dict) else value
    return [leaf for item in values for leaf in flat(item)]


# ---- making artifacts ---------------------------------------------------------------------------


def export(files, model):
    import numpy as np
    import torch

    import models

    case = models.get(model)
    torch.export.save(case.export(), files.program)
    with torch.no_grad():
        results = flat(case.module(*case.args))
    arrays = {f"in{i}": x.numpy() for i, x in enumerate(flat(case.args))}
    arrays |= {f"out{i}": x.detach().numpy() for i, x in enumerate(results)}
    np.savez(files.data, **arrays)


def build(engine, files, model, threads):
    """Makes what `engine` loads; seconds that its compiler took."""
    import torch

    if engine == "ort":
        import models

        case = models.get(model)
        start = time.perf_counter()
        with torch.no_grad():
            torch.onnx.export(case.export(), case.args, str(files.onnx), dynamo=True, external_data=False)
        return time.perf_counter() - start
    if engine == "aoti":
        torch.set_num_threads(threads)  # code made for one thread is serial for good
        program = torch.export.load(files.program)
        start = time.perf_counter()
        with torch.no_grad():
            torch._inductor.aoti_compile_and_package(program, package_path=str(files.aoti(threads)))
        return time.perf_counter() - start
    return 0.0


def compile_tenon(files):
    from tenon import locate

    start = time.perf_counter()
    done = subprocess.run([locate.driver(), "compile", str(files.program), "-o", str(files.tenon)], capture_output=True,
                          text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[0])
    return time.perf_counter() - start


def prepare(files, model, engines, threads):
    """Makes what is missing; a message for each engine that cannot have it."""
    missing = {}
    jobs = [] if files.program.exists() and files.data.exists() else [("export", 1)]
    if "ort" in engines and not files.onnx.exists():
        jobs.append(("ort", 1))
    if "aoti" in engines:
        jobs += [("aoti", count) for count in threads if not files.aoti(count).exists()]
    for engine, count in jobs:
        worker = start_process("build", engine, files, model, count)
        _, errors = worker.communicate()
        if worker.returncode:
            lines = [line for line in errors.splitlines() if line.strip()]
            missing[engine] = lines[-1][:200] if lines else "fails"
    return missing


# ---- loading ------------------------------------------------------------------------------------


def load(engine, files, model, threads):
    """A function that makes one call, and one that gives the last call's results as arrays."""
    inputs = files.arrays("in")
    last = []
    if engine == "tenon":
        import tenon

        session = tenon.Program(str(files.tenon)).session(threads=threads)
        call = session.prepare(*inputs)
        return call, call.results
    if engine == "ort":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
        session = onnxruntime.InferenceSession(str(files.onnx), options, providers=["CPUExecutionProvider"])
        feeds = dict(zip([entry.name for entry in session.get_inputs()], inputs))

        def run():
            last[:] = [session.run(None, feeds)]

        return run, lambda: last[0]
    import torch

    torch.set_num_threads(threads)
    tensors = [torch.from_numpy(x) for x in inputs]
    if engine == "eager":
        import models

        function = models.get(model).module
    else:
        function = torch._inductor.aoti_load_package(str(files.aoti(threads)))

    def run():
        with torch.no_grad():
            last[:] = [function(*tensors)]

    return run, lambda: [x.numpy() for x in flat(last[0])]


def largest_error(ours, reference):
    """Largest absolute difference over the reference's largest value, of the worst output."""
    import numpy as np

    worst = 0.0
    for a, b in zip(ours, reference):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        assert a.shape == b.shape, (a.shape, b.shape)
        worst = max(worst, float(np.abs(a - b).max() / max(1e-9, np.abs(b).max())) if b.size else 0.0)
    return worst


# ---- processes ----------------------------------------------------------------------------------


def start_process(task, engine, files, model, threads):
    processors = sorted(os.sched_getaffinity(0))[:threads]
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))
    command = [sys.executable, __file__, task, engine, str(files.folder.parent), model, str(threads)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env=environment, preexec_fn=lambda: os.sched_setaffinity(0, processors))


def answer(process):
    """The next line that is JSON; None when the process has ended."""
    for line in process.stdout:
        try:
            return json.loads(line)
        except ValueError:
            continue
    return None


def ask(process, seconds):
    """Milliseconds of each call in a block of `seconds`."""
    process.stdin.write(f"{seconds}\n")
    process.stdin.flush()
    return answer(process)


def main():
    task, engine, folder, model, threads = sys.argv[1:]
    files, threads = Files(folder, model), int(threads)
    if task == "build":
        if engine == "export":
            export(files, model)
        else:
            seconds = build(engine, files, model, threads)
            with open(files.folder / "build.jsonl", "a") as log:
                log.write(json.dumps({"engine": engine, "threads": threads, "seconds": seconds}) + "\n")
        return
    call, results = load(engine, files, model, threads)
    call()
    print(json.dumps(largest_error(results(), files.arrays("out"))), flush=True)
    for line in sys.stdin:
        end, times = time.perf_counter() + float(line), []
        while len(times) < 3 or time.perf_counter() < end:
            start = time.perf_counter()
            call()
            times.append((time.perf_counter() - start) * 1e3)
        print(json.dumps(times), flush=True)
    os._exit(0)  # engines differ in how long they take to tear down


if __name__ == "__main__":
    main()
