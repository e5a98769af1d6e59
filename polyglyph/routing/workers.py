"""The front end's way to the workers: what is hooked, receipts of finished requests, and the sums."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np

from polyglyph import __version__
from polyglyph.contract.errors import MissingHooksError
from polyglyph.contract.model import ModelDescription
from polyglyph.contract.plan import PHASES
from polyglyph.contract.routing import ArrayDocument
from polyglyph.contract.stats import Stats, StatsGroup
from polyglyph.routing.groups import OVERFLOW


class EngineClient(Protocol):
    """The part of vLLM's engine client that is used here."""

    async def collective_rpc(
        self,
        method: str,
        timeout: float | None = None,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
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
        self._report: EngineReport | None = None
        self._waiting: dict[str, asyncio.Future[Receipt | None]] = {}
        self._fetching: asyncio.Task[None] | None = None

    async def report(self) -> EngineReport:
        """Ask every worker for its hooks.

        Raises:
            MissingHooksError: A worker lacks a hook on one of its MoE layers, or its hooks did not run.
        """
        self._report = merge_reports(await self._ask("polyglyph_report"))
        return self._report

    async def look(self) -> EngineReport:
        """Ask every worker for its hooks as they are now, whatever is wrong with them."""
        return merge_reports(await self._ask("polyglyph_report"), is_strict=False)

    async def take_receipt(self, key: str) -> Receipt | None:
        """Fetch and forget the receipt of a finished request; None when no worker knows the key.

        Receipts asked for while a call is under way share the next one.
        """
        future: asyncio.Future[Receipt | None] = asyncio.get_running_loop().create_future()
        self._waiting[key] = future
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch_receipts())
        return await future

    async def read_stats(self) -> Stats:
        """Read the sums since the last reset; nothing is reset."""
        report = self._report or await self.report()
        return decode_stats((await self._ask("polyglyph_read_stats"))[0], report)

    async def reset_stats(self) -> None:
        """Set all sums to zero, between two steps of the engine."""
        await self._ask("polyglyph_reset_stats")

    async def _fetch_receipts(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, {}
            try:
                answers = await self._ask("polyglyph_take_receipts", (list(waiting),))
                report = self._report or await self.report()
                receipts = merge_receipts(answers, report.model)
            except BaseException as error:
                # The callers wait on their futures, not on this task: each of them must hear of it.
                for future in waiting.values():
                    if not future.done():
                        future.set_exception(error)
                self._fetching = None
                raise
            for key, future in waiting.items():
                if not future.done():
                    future.set_result(receipts.get(key))
        self._fetching = None

    async def _ask(self, method: str, args: tuple[Any, ...] = ()) -> list[Any]:
        return await self._engine.collective_rpc(method, args=args)


def merge_reports(answers: Sequence[dict[str, Any]], *, is_strict: bool = True) -> EngineReport:
    """Join the workers' reports (`compat.worker.polyglyph_report`).

    Args:
        answers: One report per worker.
        is_strict: Refuse when something is wrong with a hook.

    Raises:
        MissingHooksError: A worker lacks a hook on one of its MoE layers, or its hooks did not run.
    """
    problems = [problem for answer in answers for problem in _problems(answer)]
    if is_strict and (problems or not answers):
        raise MissingHooksError(
            "Polyglyph's hooks are not in place: "
            + ("; ".join(problems) or "no worker answered")
            + ". Nothing would be "
            "steered, so the server does not serve; look for errors of the plugin 'polyglyph' above"
        )
    workers = tuple(
        WorkerReport(
            rank=answer["rank"],
            tp_rank=answer["tp_rank"],
            pp_rank=answer["pp_rank"],
            runner=answer["runner"],
            hooks=tuple(LayerHook(**hook) for hook in answer["hooks"]),
            expected_layers=answer["expected_layers"],
        )
        for answer in answers
    )
    model = ModelDescription.model_validate_json(json.dumps(answers[0]["model"]))
    return EngineReport(model=model, workers=workers, versions=versions())


def _problems(answer: dict[str, Any]) -> list[str]:
    worker = f"worker {answer['rank']}"
    if answer["model"] is None:
        return [f"{worker} loaded its model without them"]
    problems = [f"{worker}: {name} of the model runner is not hooked" for name in answer["unhooked_runner_methods"]]
    for hook in answer["hooks"]:
        if not hook["in_place"]:
            problems.append(f"{worker}: layer {hook['layer']} ({hook['name']}) has no hook")
        elif not hook["has_run"]:
            problems.append(f"{worker}: the hook of layer {hook['layer']} ({hook['name']}) did not run at warm-up")
    if len(answer["hooks"]) != answer["expected_layers"]:
        problems.append(f"{worker}: {answer['expected_layers']} MoE layers, {len(answer['hooks'])} hooks")
    return problems


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


def versions() -> dict[str, str]:
    """Give the releases that numbers depend on."""
    import torch
    import vllm

    return {"polyglyph": __version__, "vllm": vllm.__version__, "torch": torch.__version__}
