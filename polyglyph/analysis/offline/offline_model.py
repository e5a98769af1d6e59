"""A model loaded with transformers, its MoE layers, and the binding that the server would compute of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from polyglyph.analysis.offline.errors import OfflineError, UnreadableModelError
from polyglyph.analysis.offline.expert_outputs import recombined
from polyglyph.analysis.offline.moe_layer import MoeLayer, find_layers
from polyglyph.analysis.offline.recording import LayerRecord, recording
from polyglyph.contract.fingerprint import model_fingerprint
from polyglyph.contract.model import ModelBinding

Dtype = Literal["auto", "float32", "bfloat16"]
PROBE_TOKENS = 5
PROBE_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 4e-2, torch.float16: 1e-2}
"""Largest difference of recombined outputs over the largest output: rounding of one sum of K terms."""


@dataclass(frozen=True, eq=False)
class OfflineModel:
    """A model that can be passed over.

    Attributes:
        model: In evaluation mode.
        tokenizer: Its tokenizer; None where only token ids are given.
        layers: Its MoE layers.
        binding: What plans for it are bound to.
    """

    model: nn.Module
    tokenizer: Any
    layers: tuple[MoeLayer, ...]
    binding: ModelBinding

    @property
    def device(self) -> torch.device:
        """Where its input goes."""
        return next(self.model.parameters()).device


def load_offline(name: str | Path, *, device: str | None = None, dtype: Dtype = "auto") -> OfflineModel:
    """Load a checkpoint in the Hugging Face format.

    Args:
        name: A folder, or a name that transformers finds.
        device: `cpu`, `cuda` or `cuda:1`; None for CUDA where there is one.
        dtype: `auto` is the checkpoint's own on CUDA and float32 on a CPU.

    Raises:
        OfflineError: It cannot be loaded.
        UnreadableModelError: Its MoE layers cannot be read; the text names the class.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    target = device or ("cuda" if torch.cuda.is_available() else "cpu")
    precision = "float32" if dtype == "auto" and target == "cpu" else dtype
    try:
        model = AutoModelForCausalLM.from_pretrained(name, dtype=precision).to(target)
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise OfflineError(f"{name}: transformers cannot load it as a causal language model: {error}") from error
    return read_model(model, tokenizer)


def read_model(model: nn.Module, tokenizer: Any = None) -> OfflineModel:
    """Find the MoE layers of a loaded model, and check on a few tokens that they are what they seem.

    Raises:
        UnreadableModelError: They are not; the text names the class.
    """
    model.eval()
    layers = find_layers(model)
    records = _probe(model, layers)
    for layer, record in zip(layers, records, strict=True):
        _check(layer, record)
    return OfflineModel(model, tokenizer, layers, _bind(model, layers, records))


@torch.no_grad()
def _probe(model: Any, layers: Sequence[MoeLayer]) -> list[LayerRecord]:
    device = next(model.parameters()).device
    ids = torch.arange(PROBE_TOKENS, device=device).remainder(model.config.get_text_config().vocab_size)
    with recording(layers) as recorded:
        model(input_ids=ids[None], use_cache=False)
    records = recorded.take()
    if len(records) != len(layers):
        raise UnreadableModelError(
            f"{type(model).__name__}: a text runs through {len(records)} of its {len(layers)} MoE layers; only models "
            "whose layers all compute every token can be read offline"
        )
    return records


def _check(layer: MoeLayer, record: LayerRecord) -> None:
    if record.logits_TE.shape != (len(record.ids_TK), layer.num_experts):
        raise UnreadableModelError(
            f"{layer.name}: expected router logits of shape {(len(record.ids_TK), layer.num_experts)} from "
            f"{type(layer.router).__name__}, got {tuple(record.logits_TE.shape)}"
        )
    given = record.output_TH.float()
    limit = PROBE_TOLERANCE.get(record.output_TH.dtype, 1e-2) * max(float(given.abs().max()), 1e-6)
    error = float((recombined(layer, record) - given).abs().max())
    if not error <= limit:
        raise UnreadableModelError(
            f"{layer.name}: {type(layer.experts).__name__} does not give the sum of its experts' outputs by their "
            f"weights (off by {error:.3g}), so an expert's own output cannot be read"
        )


def _bind(model: Any, layers: Sequence[MoeLayer], records: Sequence[LayerRecord]) -> ModelBinding:
    """Bind as the server does (`routing.compat.model_hooks`): what plans name must not depend on who looked."""
    architecture = (getattr(model.config, "architectures", None) or [type(model).__name__])[0]
    experts, top_k = max(layer.num_experts for layer in layers), max(record.ids_TK.shape[1] for record in records)
    weights = [canonical_bytes(layer.weight) for layer in layers]
    return ModelBinding(
        architecture=architecture,
        layers=len(layers),
        experts=experts,
        top_k=top_k,
        fingerprint=model_fingerprint(architecture, len(layers), experts, top_k, weights),
    )


def canonical_bytes(weight: Tensor) -> bytes:
    """Give a router's weight as little-endian bfloat16, as fingerprints have it."""
    rounded = weight.detach().to(device="cpu", dtype=torch.bfloat16).contiguous()
    canonical: np.ndarray = rounded.view(torch.int16).numpy()
    return canonical.tobytes()
