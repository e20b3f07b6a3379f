"""TorchScript archives of the catalogue's models, with random weights."""

from __future__ import annotations

import traceback
from pathlib import Path

import torch
from torch import nn

from catalogue import Model

KINDS = ("traced", "scripted")
SEED = 0
# The importer checks two other batch sizes, so a batch that the trace has baked in comes to light.
TRACED_BATCH = 2
# Batch norms that see one pixel of each sample, as in squeeze-and-excitation, need more than two for a variance.
SETTLING_BATCH = 16


def write_archive(model: Model, kind: str, path: Path) -> None:
    """Writes the model as TorchScript of one kind; raises what torch says when it cannot."""
    torch.manual_seed(SEED)
    network = make(model).eval()
    redraw(network)
    settle(network, model)
    example = random_inputs(model, TRACED_BATCH)
    if kind == "traced":
        # Segmentation networks return a dictionary, which trace takes only without `strict`.
        script = torch.jit.trace(network, example, strict=False, check_trace=False)
    else:
        script = torch.jit.script(network)
    partial = path.with_suffix(".partial")
    script.save(str(partial))
    partial.rename(path)


def random_inputs(model: Model, batch: int) -> tuple[torch.Tensor, ...]:
    def draw() -> torch.Tensor:
        if model.vocabulary is not None:
            return torch.randint(0, model.vocabulary, (batch, *model.shape))
        return torch.randn(batch, *model.shape)

    return tuple(draw() for _ in range(model.inputs))


def make(model: Model) -> nn.Module:
    options = dict(model.options)
    if model.library == "timm":
        import timm
        from timm.layers import set_exportable, set_scriptable

        # timm's own switches: no custom autograd functions in activations.
        set_scriptable(True)
        set_exportable(True)
        return timm.create_model(model.name, pretrained=False, **options)
    if model.library == "transformers":
        import transformers

        config = getattr(transformers, options.pop("config"))(**options)
        # What its documentation asks for before torch.jit.trace; its fused masks cannot be traced.
        config.torchscript, config.return_dict, config._attn_implementation = True, False, "eager"
        return getattr(transformers, model.name)(config)
    if model.library == "torchaudio":
        import torchaudio.models

        return getattr(torchaudio.models, model.name)(**options)
    import torchvision.models

    return torchvision.models.get_model(model.name, weights=None, **options)


def redraw(network: nn.Module) -> None:
    """Draws what decides how much a channel matters as if it had been trained. Initial weights hide channels behind zeros, ones
    and layer scales of 1e-6; a surgery that cut the wrong ones would hardly change the outputs, and the oracle prove little."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, (nn.Linear, nn.modules.conv._ConvNd)):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        for parameter in network.parameters():
            if parameter.is_floating_point() and parameter.numel() > 1 and parameter.min() == parameter.max():
                parameter.normal_(mean=round(parameter.flatten()[0].item()), std=0.2)


def settle(network: nn.Module, model: Model) -> None:
    """Batch norms take over the statistics of a random batch, so that signals stay of the order of one as in a trained network.
    Networks without are not run: what they keep in caches is filled by the first call of the archive."""
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    try:
        with torch.no_grad():
            network(*random_inputs(model, SETTLING_BATCH))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()


def reason_of(error: BaseException) -> str:
    """The line of an error that says most, for the page."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else traceback.format_exception_only(error)[-1].strip())[:200]
