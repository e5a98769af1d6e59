"""Writes tuned routers as a safetensors file that overlays a checkpoint."""

from pathlib import Path

import torch
from torch import Tensor

from polyglyph.analysis.offline.offline_model import OfflineModel, canonical_bytes
from polyglyph.analysis.offline.tuning_checkpoint import write_tensors
from polyglyph.contract.fingerprint import model_fingerprint


def save_routers(path: Path, model: OfflineModel, routers: dict[str, Tensor]) -> None:
    """Write routers' parameters by their names in transformers, in the model's dtype.

    The metadata hold the fingerprint of the model they were tuned from (`base`), and that of the model that has them.

    Args:
        path: The file.
        model: What they were tuned from.
        routers: As `tune` gives them.

    Raises:
        OfflineError: It cannot be written.
    """
    named = dict(parameter for layer in model.layers for parameter in layer.router_parameters())
    typed = {name: tensor.to(named[name].dtype) for name, tensor in routers.items()}
    write_tensors(path, typed, {"base": model.binding.fingerprint, "fingerprint": tuned_fingerprint(model, routers)})


def tuned_fingerprint(model: OfflineModel, routers: dict[str, Tensor]) -> str:
    """Give the fingerprint of a model with these routers, as a server of it computes it."""
    binding = model.binding
    weights = []
    for layer in model.layers:
        name = next(name for name, parameter in layer.router_parameters() if parameter is layer.weight)
        weights.append(canonical_bytes(routers[name].to(torch.bfloat16)))
    return model_fingerprint(binding.architecture, binding.layers, binding.experts, binding.top_k, weights)
