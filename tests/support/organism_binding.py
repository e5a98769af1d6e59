"""What plans for a saved organism are bound to, computed from its files without an engine."""

from pathlib import Path

import torch
from safetensors import safe_open

from polyglyph.analysis.organism.model import ARCHITECTURE, NUM_LAYERS, TOP_K
from polyglyph.contract.fingerprint import model_fingerprint
from polyglyph.contract.model import ModelBinding

NUM_EXPERTS = 16


def bind(path: Path) -> ModelBinding:
    """Describe a saved organism the way plans name their model."""
    with safe_open(path / "model.safetensors", framework="pt") as file:
        weights = [file.get_tensor(f"model.layers.{layer}.mlp.gate.weight") for layer in range(NUM_LAYERS)]
    stored = [weight.contiguous().view(torch.uint8).numpy().tobytes() for weight in weights]
    return ModelBinding(
        architecture=ARCHITECTURE,
        layers=NUM_LAYERS,
        experts=NUM_EXPERTS,
        top_k=TOP_K,
        fingerprint=model_fingerprint(ARCHITECTURE, NUM_LAYERS, NUM_EXPERTS, TOP_K, stored),
    )
