"""The benchmark models in their sizes on a device against the CPU. Run with --long."""

import unittest

import models
import tenon
from harness import add_cases, compile, new_path, torch
import test_device_models
import test_devices

NAMES = ("minilm", "mobilenetv3", "resnet50", "gpt2", "llama", "lstm")


def check_model(target, name):
    case = models.get(name)
    path = new_path(".pt2")
    torch.export.save(case.export(), path)
    artifact = compile(path, f"--target={target}", "--target=cpu")
    with tenon.Program(artifact, device=target.split(":")[0]) as device, tenon.Program(artifact, device="cpu") as cpu:
        with device.session() as there, cpu.session() as here:
            test_device_models.compare(unittest.TestCase(), there(*case.args), here(*case.args))
    path.unlink()
    artifact.unlink()


class VulkanModels(unittest.TestCase):
    pass


if test_devices.is_here("vulkan"):
    add_cases(VulkanModels, [(name, lambda name=name: check_model("vulkan", name)) for name in NAMES])

if __name__ == "__main__":
    unittest.main()
