"""Sums, receipts and traces as they cross from the workers: arrays as bytes, read back with their shapes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from polyglyph.contract.model import ModelDescription
from polyglyph.contract.plan import PHASES
from polyglyph.contract.sums import GroupKey, GroupSums, overflow_key
from polyglyph.routing.traces import id_dtype

PROMPT = PHASES.index("prompt")


@dataclass(frozen=True, eq=False, kw_only=True)
class WorkerTrace:
    """One sequence's tokens, by position: n tokens, L MoE layers, K selected experts, E experts.

    Attributes:
        token_ids: int32 [n]; -1 where the prompt came as embeddings.
        phases: uint8 [n], index into `PHASES`.
        steered: bool [n], edits were in force.
        computed: bool [n]; False for tokens served from the prefix cache, whose other columns say nothing.
        ids: uint8 or uint16 [n, L, K]; the dtype's largest value where not computed, and past a layer's k.
        weights: float16 [n, L, K].
        runner_up: As `ids`, the experts that would have come next; None unless asked for.
        probabilities: float16 [n, L, E], the routers' own scores; None unless asked for.
    """

    token_ids: np.ndarray
    phases: np.ndarray
    steered: np.ndarray
    computed: np.ndarray
    ids: np.ndarray
    weights: np.ndarray
    runner_up: np.ndarray | None = None
    probabilities: np.ndarray | None = None


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
        traces: Of each sequence that was to be traced, in their order; None for one that the worker had to drop.
    """

    tokens_steered: int
    selections_changed: int
    num_layers: int
    num_tokens: np.ndarray | None = None
    selected: np.ndarray | None = None
    weight_sum: np.ndarray | None = None
    traces: tuple[WorkerTrace | None, ...] = ()

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
    in_order = sorted(wire["traces"], key=lambda trace: trace["sequence"])
    receipt = Receipt(
        wire["tokens_steered"],
        wire["selections_changed"],
        model.binding.layers,
        traces=tuple(decode_trace(trace, model) for trace in in_order),
    )
    if "selected" not in wire:
        return receipt
    return replace(
        receipt,
        num_tokens=np.frombuffer(wire["num_tokens"], np.int64),
        selected=np.frombuffer(wire["selected"], np.int64).reshape(shape).astype(np.int32),
        weight_sum=np.frombuffer(wire["weight_sum"], np.float64).reshape(shape).astype(np.float32),
    )


@dataclass(frozen=True)
class Drained:
    """What a drain of the stats gave.

    Attributes:
        serial: The interval's number, to be acknowledged.
        groups: Its sums; None while they are on their way from the device.
    """

    serial: int
    groups: tuple[GroupSums, ...] | None


def decode_drain(wire: dict[str, Any], model: ModelDescription) -> Drained:
    """Read what `StatsRecorder.drain` gave."""
    if not wire["is_ready"]:
        return Drained(wire["serial"], None)
    shape = (-1, model.binding.layers, model.binding.experts)
    keys = _keys(wire)
    sums: dict[GroupKey, GroupSums] = {}
    columns = (
        keys,
        np.frombuffer(wire["tokens"], np.int64).tolist(),
        np.frombuffer(wire["selected"], np.int64).reshape(shape),
        np.frombuffer(wire["weight_sum"], np.float64).reshape(shape),
    )
    for key, tokens, selected_LE, weight_sum_LE in zip(*columns, strict=True):
        sums[key] = GroupSums(
            key=key, tokens=tokens, cached_tokens=0, selected_LE=selected_LE, weight_sum_LE=weight_sum_LE
        )
    for slot, script, count in wire["cached"]:
        key = _group_key(wire, slot, script, PROMPT)
        known = sums.get(key) or _empty(key, model)
        sums[key] = replace(known, cached_tokens=known.cached_tokens + count)
    return Drained(wire["serial"], tuple(sums.values()))


def _keys(wire: dict[str, Any]) -> list[GroupKey]:
    """Give the group of each row; the first rows, one per phase, are the overflow's."""
    num_scripts = len(wire["scripts"])
    keys = []
    rows, cells = np.frombuffer(wire["rows"], np.int64).tolist(), np.frombuffer(wire["cells"], np.int64).tolist()
    for row, cell in zip(rows, cells, strict=True):
        if row < len(PHASES):
            keys.append(overflow_key(PHASES[row]))
        else:
            group_script, phase = divmod(cell, len(PHASES))
            slot, script = divmod(group_script, num_scripts)
            keys.append(_group_key(wire, slot, script, phase))
    return keys


def _group_key(wire: dict[str, Any], slot: int, script: int, phase: int) -> GroupKey:
    if slot == wire["overflow_slot"]:
        return overflow_key(PHASES[phase])
    request_script, plan, tag = wire["groups"][slot]
    return GroupKey(request_script, wire["scripts"][script], PHASES[phase], plan, tag)


def _empty(key: GroupKey, model: ModelDescription) -> GroupSums:
    shape = (model.binding.layers, model.binding.experts)
    return GroupSums(
        key=key,
        tokens=0,
        cached_tokens=0,
        selected_LE=np.zeros(shape, np.int64),
        weight_sum_LE=np.zeros(shape, np.float64),
    )


def decode_trace(wire: dict[str, Any], model: ModelDescription) -> WorkerTrace | None:
    """Read one sequence's trace; None when the worker had to drop it."""
    if wire["is_dropped"]:
        return None
    binding, num_tokens = model.binding, wire["num_tokens"]
    ids_dtype = id_dtype(binding.experts)
    per_expert = (binding.layers, binding.top_k)
    dtypes: dict[str, tuple[Any, tuple[int, ...]]] = {
        "token_ids": (np.int32, ()),
        "phases": (np.uint8, ()),
        "steered": (np.bool_, ()),
        "computed": (np.bool_, ()),
        "ids": (ids_dtype, per_expert),
        "weights": (np.float16, per_expert),
        "runner_up": (ids_dtype, per_expert),
        "probabilities": (np.float16, (binding.layers, binding.experts)),
    }
    arrays = {
        name: np.frombuffer(column, dtypes[name][0]).reshape(num_tokens, *dtypes[name][1])
        for name, column in wire["columns"].items()
    }
    return WorkerTrace(**arrays)


@dataclass(frozen=True, kw_only=True)
class DrainedTrace:
    """A finished request's trace, and whose it is.

    Attributes:
        request_id: The engine request's id as its caller knows it.
        sequence: Which of the HTTP request's sequences it is.
        request_script: Script of the user's text.
        plan: Fingerprint of the plan in force, or empty.
        tag: The request's tag, or empty.
        trace: Its tokens; None when the worker had to drop them.
    """

    request_id: str
    sequence: int
    request_script: str
    plan: str
    tag: str
    trace: WorkerTrace | None


def decode_finished(wire: dict[str, Any], model: ModelDescription) -> DrainedTrace:
    """Read one entry of `FinishedTraces.drain`."""
    names = ("request_id", "sequence", "request_script", "plan", "tag")
    return DrainedTrace(**{name: wire[name] for name in names}, trace=decode_trace(wire, model))
