"""Sums and receipts as they cross from the workers: arrays as bytes, read back with their shapes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from polyglyph.contract.model import ModelDescription
from polyglyph.contract.plan import PHASES
from polyglyph.contract.routing import ArrayDocument
from polyglyph.contract.stats import Stats, StatsGroup
from polyglyph.routing.groups import OVERFLOW
from polyglyph.routing.reports import EngineReport


@dataclass(frozen=True)
class Receipt:
    """What the engine did for one HTTP request, all its choices together.

    Attributes:
        tokens_steered: Tokens computed with edits in force.
        selections_changed: (token, layer) pairs whose selected experts differ from the unsteered selection.
        num_layers: MoE layers of the model.
        num_tokens: int64 [3], computed tokens by phase; None unless a summary was asked for.
        selected: int32 [3, layers, experts]; None unless a summary was asked for.
        weight_sum: float32 [3, layers, experts]; None unless a summary was asked for.
    """

    tokens_steered: int
    selections_changed: int
    num_layers: int
    num_tokens: np.ndarray | None = None
    selected: np.ndarray | None = None
    weight_sum: np.ndarray | None = None

    @property
    def dose(self) -> float:
        """Share of the steered tokens' (token, layer) selections that steering changed."""
        pairs = self.tokens_steered * self.num_layers
        return self.selections_changed / pairs if pairs else 0.0


def merge_receipts(answers: Sequence[dict[str, dict[str, Any]]], model: ModelDescription) -> dict[str, Receipt]:
    """Read the receipts of the worker that counts (tensor-parallel rank 0; the others see the same tokens)."""
    return {key: _decode_receipt(wire, model) for key, wire in answers[0].items()}


def _decode_receipt(wire: dict[str, Any], model: ModelDescription) -> Receipt:
    shape = (len(PHASES), model.binding.layers, model.binding.experts)
    receipt = Receipt(wire["tokens_steered"], wire["selections_changed"], model.binding.layers)
    if "selected" not in wire:
        return receipt
    return replace(
        receipt,
        num_tokens=np.frombuffer(wire["num_tokens"], np.int64),
        selected=np.frombuffer(wire["selected"], np.int64).reshape(shape).astype(np.int32),
        weight_sum=np.frombuffer(wire["weight_sum"], np.float64).reshape(shape).astype(np.float32),
    )


def decode_stats(wire: dict[str, Any], report: EngineReport) -> Stats:
    """Read the sums of the worker that counts into a document; groups without tokens are left out."""
    binding = report.model.binding
    shape = (-1, len(PHASES), binding.layers, binding.experts)
    tokens = np.frombuffer(wire["tokens"], np.int64).reshape(-1, len(PHASES))
    selected = np.frombuffer(wire["selected"], np.int64).reshape(shape)
    weight_sum = np.frombuffer(wire["weight_sum"], np.float64).reshape(shape)
    keys = [tuple(key) for key in wire["keys"]] + [OVERFLOW]
    groups = [
        StatsGroup(
            request_script=script,
            phase=phase,
            plan=plan,
            tag=tag,
            group_tokens=int(tokens[index, number]),
            selected=ArrayDocument.from_numpy(selected[index, number]),
            weight_sum=ArrayDocument.from_numpy(weight_sum[index, number]),
        )
        for index, (script, plan, tag) in enumerate(keys)
        for number, phase in enumerate(PHASES)
        if tokens[index, number]
    ]
    return Stats(
        schema="polyglyph.stats/1",
        model_fingerprint=binding.fingerprint,
        layers=binding.layers,
        experts=binding.experts,
        top_k=binding.top_k,
        since=wire["since"],
        until=datetime.now(UTC).isoformat(),
        versions=report.versions,
        overflow_tokens=int(tokens[-1].sum()),
        groups=tuple(groups),
    )
