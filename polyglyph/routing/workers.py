"""The front end's way to the workers: what is hooked, receipts of finished requests, and the sums."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from polyglyph.contract.errors import MissingHooksError
from polyglyph.contract.model import ModelDescription
from polyglyph.contract.stats import Stats


class EngineClient(Protocol):
    """The part of vLLM's engine client that is used here."""

    async def collective_rpc(
        self, method: str, timeout: float | None = None, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> list[Any]:
        """Call a worker method on every worker."""


@dataclass(frozen=True)
class LayerHook:
    """State of one MoE layer's hook on one worker.

    Attributes:
        layer: Index among the MoE layers.
        name: The module's name in the model.
        in_place: The router calls our hook.
        has_run: The hook was executed by the worker's own warm-up, so compiled code holds it.
    """

    layer: int
    name: str
    in_place: bool
    has_run: bool


@dataclass(frozen=True)
class WorkerReport:
    """What one worker says of itself."""

    rank: int
    tp_rank: int
    pp_rank: int
    runner: str
    hooks: tuple[LayerHook, ...]
    expected_layers: int


@dataclass(frozen=True)
class EngineReport:
    """What all workers say together: the model as loaded, and each worker's hooks."""

    model: ModelDescription
    workers: tuple[WorkerReport, ...]
    versions: dict[str, str]


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


class Workers:
    """Asks every worker of an engine, and merges what they answer."""

    def __init__(self, engine: EngineClient) -> None:
        self._engine = engine

    async def report(self) -> EngineReport:
        """Ask every worker for its hooks.

        Raises:
            MissingHooksError: A worker lacks a hook on one of its MoE layers, or its hooks did not run.
        """
        raise NotImplementedError

    async def take_receipt(self, key: str) -> Receipt | None:
        """Fetch and forget the receipt of a finished request; None when no worker knows the key.

        Receipts asked for at the same time share one call to the workers.
        """
        raise NotImplementedError

    async def read_stats(self) -> Stats:
        """Read the sums since the last reset; nothing is reset."""
        raise NotImplementedError

    async def reset_stats(self) -> None:
        """Set all sums to zero, between two steps of the engine."""
        raise NotImplementedError
