"""What the workers say of their hooks, joined into one report."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from polyglyph import __version__
from polyglyph.contract.errors import MissingHooksError
from polyglyph.contract.model import ModelDescription


@dataclass(frozen=True)
class LayerHook:
    """State of one MoE layer's hook on one worker.

    Attributes:
        layer: Index among the MoE layers.
        name: The module's name in the model.
        in_place: The router calls our hook.
        has_run: The hook was executed by the worker's own warm-up, so compiled code holds it.
        kernel: The implementation of `kernels.steer_route` that runs it.
    """

    layer: int
    name: str
    in_place: bool
    has_run: bool
    kernel: str


@dataclass(frozen=True)
class WorkerReport:
    """What one worker says of itself.

    Attributes:
        rank: Among all workers.
        tp_rank: In its tensor-parallel group.
        pp_rank: Its pipeline stage.
        runner: The model runner's class.
        hooks: Each MoE layer's.
        expected_layers: MoE layers of the model.
        kernels: By operation of `polyglyph.kernels`, the implementation that runs it.
    """

    rank: int
    tp_rank: int
    pp_rank: int
    runner: str
    hooks: tuple[LayerHook, ...]
    expected_layers: int
    kernels: dict[str, str]


@dataclass(frozen=True)
class EngineReport:
    """What all workers say together: the model as loaded, and each worker's hooks.

    Attributes:
        model: The routers.
        workers: Each worker's hooks.
        versions: Releases that numbers depend on.
        num_hidden_layers: Layers of the model, those without a router included.
        can_log_scores: Requests may ask for router scores and runners-up.
    """

    model: ModelDescription
    workers: tuple[WorkerReport, ...]
    versions: dict[str, str]
    num_hidden_layers: int = 0
    can_log_scores: bool = False


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
            kernels=answer["kernels"],
        )
        for answer in answers
    )
    model = ModelDescription.model_validate_json(json.dumps(answers[0]["model"]))
    return EngineReport(
        model=model,
        workers=workers,
        versions=versions(),
        num_hidden_layers=answers[0].get("num_hidden_layers", 0),
        can_log_scores=answers[0].get("can_log_scores", False),
    )


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


def versions() -> dict[str, str]:
    """Give the releases that numbers depend on."""
    import torch
    import vllm

    return {"polyglyph": __version__, "vllm": vllm.__version__, "torch": torch.__version__}
