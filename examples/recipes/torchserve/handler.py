"""A handler of TorchServe for a pruned network: rows of stored values in JSON in, scores out.

`report.json` lies beside the model in the archive and says how stored values become what the model sees.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from ts.torch_handler.base_handler import BaseHandler


class PrunedModel(BaseHandler):
    """One request has one sample, `{"x": [[[…]]]}`; TorchServe hands over as many as it puts together."""

    def initialize(self, context: Any) -> None:
        super().initialize(context)
        report = json.loads((Path(context.system_properties["model_dir"]) / "report.json").read_text())
        self.normalisation = report["spec"].get("input")

    def preprocess(self, data: list[dict[str, Any]]) -> Tensor:
        samples = [request.get("body") or request.get("data") for request in data]
        stored = torch.tensor([sample["x"] for sample in samples], dtype=torch.float32)
        if self.normalisation is None:
            return stored.to(self.device)
        mean, std = (self.by_channel(self.normalisation[name], stored) for name in ("mean", "std"))
        return ((stored - mean) / std).to(self.device)

    @staticmethod
    def by_channel(numbers: float | list[float], stored: Tensor) -> Tensor:
        """One number for all, or one for each channel, in the shape of a batch."""
        return torch.tensor(numbers).reshape([1, -1] + [1] * (stored.dim() - 2))

    def inference(self, data: Tensor, *_: Any, **__: Any) -> Tensor:
        with torch.inference_mode():
            return self.model(data)

    def postprocess(self, data: Tensor) -> list[list[float]]:
        return data.tolist()
