"""Models with random changes through the importers: whatever comes in, an error is a message and never a crash.

    python test/fuzz/mutate.py SEEDS... [--count N] [--seed N] [--tool "build/dev/bin/tenon compile -o /dev/null"] [--keep FOLDER]

SEEDS are .pt2 and .onnx files, or folders with such files. Each round changes a number, a name, a type or a list of one
model's graph and gives it to the tool. What ends with a signal or takes too long is kept, and its number printed: the same
--seed and seeds make the same models.
"""

import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import zipfile

NUMBERS = [0, 1, 2, 3, 7, 64, -1, -2, -7, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1, -2**63]
FLOATS = [0.0, -1.0, 0.5, 1e30, float("inf"), float("nan")]


def places_of(tree):
    """(container, key) of everything inside a JSON tree."""
    found, waiting = [], [tree]
    while waiting:
        item = waiting.pop()
        pairs = item.items() if isinstance(item, dict) else enumerate(item)
        for key, value in pairs:
            found.append((item, key))
            if isinstance(value, (dict, list)):
                waiting.append(value)
    return found


def change_tree(tree, rng):
    places = [p for p in places_of(tree) if p[1] not in ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn")]
    strings = [c[k] for c, k in places if isinstance(c[k], str)]
    container, key = rng.choice(places)
    value = container[key]
    if isinstance(value, bool):
        container[key] = not value
    elif isinstance(value, int):
        container[key] = rng.choice([value + 1, value - 1, rng.choice(NUMBERS)])
    elif isinstance(value, float):
        container[key] = rng.choice(FLOATS)
    elif isinstance(value, str):
        container[key] = rng.choice(strings)
    elif isinstance(value, list) and value:
        at = rng.randrange(len(value))
        change = rng.randrange(3)
        if change == 0:
            del value[at]
        elif change == 1:
            value.insert(at, json.loads(json.dumps(value[at])))
        else:
            rng.shuffle(value)
    elif isinstance(value, dict) and value:
        other = rng.choice([c[k] for c, k in places if isinstance(c[k], dict)])
        container[key] = json.loads(json.dumps(other))
    else:
        container[key] = rng.choice([None, 3, "x", [], {}])


def change_pt2(source, target, rng):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.infolist():
            data = old.read(entry)
            if entry.filename.endswith("models/model.json"):
                tree = json.loads(data)
                for _ in range(rng.choice((1, 1, 2, 4))):
                    change_tree(tree["graph_module"] if rng.random() < 0.95 else tree, rng)
                data = json.dumps(tree).encode()
            new.writestr(entry.filename, data)


def change_onnx(source, target, rng):
    import onnx
    model = onnx.load(source, load_external_data=False)
    messages, waiting = [], [model.graph]
    while waiting:
        message = waiting.pop()
        messages.append(message)
        for field, value in message.ListFields():
            if field.type == field.TYPE_MESSAGE:
                waiting += list(value) if hasattr(value, "append") or hasattr(value, "add") else [value]
    strings = [v for m in messages for f, vs in m.ListFields() if f.type == f.TYPE_STRING
               for v in ([vs] if isinstance(vs, str) else vs)]
    for _ in range(rng.choice((1, 1, 2, 4))):
        message = rng.choice(messages)
        if not message.ListFields():
            continue
        field, value = rng.choice(message.ListFields())
        isList = not isinstance(value, (str, bytes, int, float)) and hasattr(value, "__len__")
        try:
            if isList and len(value) and (field.type == field.TYPE_MESSAGE or rng.random() < 0.4):
                at = rng.randrange(len(value))
                if rng.random() < 0.5:
                    del value[at]
                else:
                    value.append(value[at])
            elif field.type == field.TYPE_MESSAGE:
                message.ClearField(field.name)
            else:
                old = value[rng.randrange(len(value))] if isList and len(value) else value
                new = rng.choice(strings) if field.type == field.TYPE_STRING else \
                    rng.choice(FLOATS) if isinstance(old, float) else \
                    bytes(old[: len(old) // 2]) if isinstance(old, bytes) else \
                    rng.choice([old + 1, old - 1, rng.choice(NUMBERS)])
                if isList and len(value):
                    value[rng.randrange(len(value))] = new
                elif not isList:
                    setattr(message, field.name, new)
        except (ValueError, TypeError):
            pass  # too large for its field
    target.write_bytes(model.SerializeToString())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seeds", nargs="+", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tool", default="build/dev/bin/tenon compile -o /dev/null")
    parser.add_argument("--keep", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()))
    parser.add_argument("--timeout", type=float, default=60)
    options = parser.parse_args()
    files = sorted(f for seed in options.seeds for f in ([seed] if seed.is_file() else seed.rglob("*"))
                   if f.suffix in (".pt2", ".onnx"))
    options.keep.mkdir(parents=True, exist_ok=True)
    statuses, bad = {}, 0
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(options.count):
            rng = random.Random(options.seed * 1000003 + number)
            source = rng.choice(files)
            target = pathlib.Path(scratch) / f"mutant{source.suffix}"
            (change_pt2 if source.suffix == ".pt2" else change_onnx)(source, target, rng)
            try:
                done = subprocess.run([*options.tool.split(), target], capture_output=True, timeout=options.timeout)
                status = done.returncode
            except subprocess.TimeoutExpired:
                status = "timeout"
            statuses[status] = statuses.get(status, 0) + 1
            # Without a message an error is of no use.
            silent = status not in (0, "timeout") and not done.stderr.strip()
            if status == "timeout" or status < 0 or silent:
                bad += 1
                kept = options.keep / f"mutant-{options.seed}-{number}{source.suffix}"
                kept.write_bytes(target.read_bytes())
                print(f"{number}: {source}: status {status}: {kept}", flush=True)
    print(f"{options.count} models, {bad} bad; by status: {statuses}")
    return bad != 0


if __name__ == "__main__":
    sys.exit(main())
