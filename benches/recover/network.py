"""TorchScript files: how they are made, loaded on a device and run."""

import sys
from pathlib import Path

import numpy as np
import torch

TRAINING_INPUT = {"aten::batch_norm": 5, "aten::dropout": 2, "aten::lstm": 6, "aten::gru": 6}
"""Which input of an operator says whether it is being trained."""
SIGNIFICANT_BITS = {2_000_000: 8, 10_000_000: 6}
"""To how many bits the kernels of a network that travels are rounded, by the parameters that it has at least."""


def package(folder: Path, name: str, **attributes: object) -> None:
    """Makes a package known whose `__init__` is left out, since it imports what inference does not need."""
    module = type(torch)(name)
    module.__path__ = [str(folder / name.replace(".", "/"))]
    for key, value in attributes.items():
        setattr(module, key, value)
    sys.modules[name] = module


def published(file: Path) -> dict[str, torch.Tensor]:
    """The weights of a file, without the prefix of a network that was trained on several GPUs."""
    weights = torch.load(file, map_location="cpu", weights_only=True)
    return {name.removeprefix("module."): tensor for name, tensor in weights.items()}


def trace(network: torch.nn.Module, shape: tuple[int, ...], file: Path) -> None:
    """Writes a network that takes batches of samples of this shape. The file appears whole, and tells that all is prepared."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    torch.jit.trace(network.cpu().eval(), torch.zeros(2, *shape)).save(str(partial))
    partial.rename(file)


def load(file: Path, device: str = "cpu") -> torch.jit.ScriptModule:
    """A file's network on a device, in float32."""
    network = torch.jit.load(str(file), map_location=device).eval().float()
    # A trace holds the device that it was made on as a constant, which `map_location` leaves as it is.
    for graph in graphs(network):
        for constant in graph.findAllNodes("prim::Constant"):
            if constant.output().type().kind() == "DeviceObjType":
                constant.s_("value", device)
    return network


def set_training(network: torch.jit.ScriptModule, training: bool) -> None:
    """What `train()` and `eval()` do, in a trace too, where the mode of its making is a constant."""
    network.train(training)
    for graph in graphs(network):
        for kind, index in TRAINING_INPUT.items():
            for node in graph.findAllNodes(kind):
                if node.inputsAt(index).node().kind() == "prim::Constant":
                    with graph.insert_point_guard(node):
                        node.replaceInput(index, graph.insertConstant(training))


def graphs(network: torch.jit.ScriptModule) -> list[torch.Graph]:
    return [module._c._get_method(name).graph for module in network.modules() for name in module._c._method_names()]


def write_small(network: torch.jit.ScriptModule, file: Path) -> None:
    """Writes a network for a journey: the matrices and kernels of a large one are rounded, and kept as bfloat16."""
    size = sum(parameter.numel() for parameter in network.parameters())
    bits = min((bits for least, bits in SIGNIFICANT_BITS.items() if size >= least), default=None)
    if bits is not None:
        for parameter in filter(lambda parameter: parameter.dim() > 1, network.parameters()):
            fraction, exponent = torch.frexp(parameter.data)
            rounded = torch.ldexp(torch.round(fraction * 2**bits), exponent - bits)
            parameter.data = rounded.bfloat16()
    network.save(str(file))


def flat(outputs: object) -> list[torch.Tensor]:
    """A network's outputs as a list, however they are nested."""
    if isinstance(outputs, torch.Tensor):
        return [outputs]
    return [tensor for part in outputs for tensor in flat(part)]


def outputs_of(network: torch.nn.Module, samples: np.ndarray, device: str) -> list[np.ndarray]:
    """Each of a network's outputs for all samples."""
    with torch.no_grad():
        batches = [
            [output.cpu().numpy() for output in flat(network(batch.to(device)))]
            for batch in torch.from_numpy(samples).split(100)
        ]
    return [np.concatenate(output) for output in zip(*batches, strict=True)]
