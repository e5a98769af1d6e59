"""Router Lens (2508.19594): the experts that a task wants, seen once only the routers were tuned on it.

Letters of shapes: N examples, L MoE layers, E experts.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.identification.editing import Editing, Operation
from polyglyph.analysis.identification.errors import IdentificationError
from polyglyph.analysis.identification.expert_table import expert_table
from polyglyph.analysis.identification.expert_weights import ExpertWeights
from polyglyph.analysis.identification.identified import Identified
from polyglyph.analysis.statistics.array_bootstrap import bootstrap_difference
from polyglyph.analysis.statistics.bootstrap import Bootstrap
from polyglyph.analysis.statistics.figure import Figure
from polyglyph.contract.plan import PHASES, Phase

if TYPE_CHECKING:
    from torch import Tensor

    from polyglyph.analysis.offline.examples import Example
    from polyglyph.analysis.offline.offline_model import OfflineModel
    from polyglyph.analysis.offline.passing import Selections
    from polyglyph.analysis.offline.tuning import Tuning, TuningStep

METHOD = "router-lens"
TOP = 8
DEFAULT_EDITING = Editing(op=Operation.ADD_STD, value=0.5)
"""Half a standard deviation of the logits (2510.04694)."""
FEWEST_FOR_HELD_OUT = 10


@dataclass(frozen=True, kw_only=True)
class Options:
    """What router-lens is asked for.

    Attributes:
        top: Experts per layer.
        layers: MoE layers to choose from; None for all.
        editing: What the plan does with the chosen experts.
        phases: When it steers.
        held_out: Share of the items that the routers are not tuned on, so that overfitting shows.
        seed: Of the resamples, and of which items are held out.
    """

    top: int = TOP
    layers: tuple[int, ...] | None = None
    editing: Editing = DEFAULT_EDITING
    phases: tuple[Phase, ...] = PHASES
    held_out: float = 0.1
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Lens:
    """What was found, and the tuned routers.

    Attributes:
        found: The experts.
        routers: Tuned parameters by name, float32.
    """

    found: Identified
    routers: "dict[str, Tensor]"


def identify(
    model: "OfflineModel",
    tasks: "Sequence[Example]",
    tuning: "Tuning",
    options: Options | None = None,
    *,
    checkpoint: Path | None = None,
    report: "Callable[[TuningStep], None] | None" = None,
    batch_tokens: int = 2048,
) -> Lens:
    """Tune the routers on a task, and rank the experts by how often its tokens then select them.

    Every expert's frequency is over all tokens of all examples, prompts and completions. Its shift against the untuned
    router has a bootstrap interval over items.

    Args:
        model: The model; it is left as it was.
        tasks: Examples with completions.
        tuning: How the routers are tuned.
        options: What is chosen and written.
        checkpoint: Where the tuning's progress is kept.
        report: Called after every step.
        batch_tokens: Most tokens that are computed at once, outside of the tuning.

    Raises:
        OfflineError: The tasks cannot be tuned on.
        IdentificationError: A layer is not there.
    """
    from polyglyph.analysis.offline.passing import count_selections
    from polyglyph.analysis.offline.tuning import completion_losses, tune, with_routers

    asked = options or Options()
    learned, held = _split(tasks, asked)
    _check_layers(model, asked)

    def observe() -> "tuple[Selections, list[float]]":
        counted = count_selections(model, tasks, batch_tokens=batch_tokens)
        return counted, completion_losses(model, tasks, batch_tokens=batch_tokens)

    before = observe()
    routers = tune(model, [tasks[index] for index in learned], tuning, checkpoint=checkpoint, report=report)
    with with_routers(model, routers):
        after = observe()
    losses = {
        "tuned_on": _loss_change(tasks, learned, before[1], after[1], asked.seed),
        "held_out": _loss_change(tasks, held, before[1], after[1], asked.seed),
    }
    return Lens(_found(model, tasks, tuning, asked, before[0], after[0], losses), routers)


def _found(  # noqa: PLR0917 - what a tuning ends with
    model: "OfflineModel",
    tasks: "Sequence[Example]",
    tuning: "Tuning",
    asked: Options,
    before: "Selections",
    after: "Selections",
    losses: dict[str, dict[str, Any]],
) -> Identified:
    from polyglyph.analysis.offline.examples import digest_of

    tuned_LE, untuned_LE = after.frequencies_LE, before.frequencies_LE
    chosen_LE = _choose(tuned_LE, asked)
    low_LE, high_LE = _interval(tasks, before, after, asked.seed)
    columns = {"untuned": untuned_LE, "shift": tuned_LE - untuned_LE, "low": low_LE, "high": high_LE}
    pairs = [(int(layer), int(expert)) for layer, expert in np.argwhere(chosen_LE)]
    return Identified(
        method=METHOD,
        model=model.binding,
        table=expert_table(tuned_LE, chosen_LE, columns),
        edits=asked.editing.edits(chosen_LE.astype(np.int64)),
        phases=asked.phases,
        experts=ExpertWeights(weights=dict.fromkeys(pairs, 1.0)),
        frequencies_LE=untuned_LE,
        parameters={
            "top": asked.top,
            "layers": None if asked.layers is None else list(asked.layers),
            **asked.editing.to_json(),
            "held_out": asked.held_out,
            "seed": asked.seed,
            "tuning": asdict(tuning),
        },
        statistics={
            "num_examples": len(tasks),
            "num_items": len({task.item for task in tasks}),
            "num_tokens": int(before.tokens_N.sum()),
            "unit": "item",
            "interval": "bootstrap, 95 %",
            "loss": losses,
        },
        notes=tuple(_notes(model, asked, losses)),
        evidence_sha256=digest_of(tasks),
        description="The experts that this task selects most once only the routers were tuned on it.",
    )


def _check_layers(model: "OfflineModel", asked: Options) -> None:
    last = model.binding.layers - 1
    if asked.layers is not None and max(asked.layers) > last:
        raise IdentificationError(f"--layers: the model has MoE layers 0 to {last}, got {max(asked.layers)}")


def _split(tasks: "Sequence[Example]", asked: Options) -> tuple[list[int], list[int]]:
    """Give the examples that are tuned on and those held out, whole items; none are held out of very few."""
    items = sorted({task.item for task in tasks})
    if len(items) < FEWEST_FOR_HELD_OUT or not asked.held_out:
        return list(range(len(tasks))), []
    drawn = np.random.default_rng(asked.seed).permutation(len(items))[: max(1, round(asked.held_out * len(items)))]
    held = {items[index] for index in drawn}
    return (
        [index for index, task in enumerate(tasks) if task.item not in held],
        [index for index, task in enumerate(tasks) if task.item in held],
    )


def _choose(tuned_LE: NDArray[np.float64], asked: Options) -> NDArray[np.bool_]:
    layers = range(len(tuned_LE)) if asked.layers is None else asked.layers
    chosen_LE = np.zeros(tuned_LE.shape, dtype=bool)
    for layer in layers:
        best = np.argsort(-tuned_LE[layer], kind="stable")[: asked.top]
        chosen_LE[layer, best[tuned_LE[layer, best] > 0]] = True
    return chosen_LE


def _interval(
    tasks: "Sequence[Example]", before: "Selections", after: "Selections", seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the percentile interval of the shift over items, NaN where there is only one."""
    shape = after.selected_NLE.shape[1:]
    is_after = np.repeat([True, False], len(tasks))
    interval = bootstrap_difference(
        np.concatenate([after.selected_NLE, before.selected_NLE]).reshape(2 * len(tasks), -1),
        np.concatenate([after.tokens_N, before.tokens_N]),
        is_after,
        [task.item for task in tasks] * 2,
        seed=seed,
    )
    return interval.low_K.reshape(shape), interval.high_K.reshape(shape)


def _loss_change(
    tasks: "Sequence[Example]", indices: Sequence[int], before: Sequence[float], after: Sequence[float], seed: int
) -> dict[str, Any]:
    """Give loss per completion token before and after, and the change with its interval over items."""
    bootstrap = Bootstrap([tasks[index].item for index in indices], seed=seed)
    tokens = [tasks[index].num_completion for index in indices]

    def per_token(values: Sequence[float]) -> Figure:
        return bootstrap.quotient(values, tokens, otherwise="no examples")

    changes = [after[index] - before[index] for index in indices]
    return {
        "examples": len(indices),
        "before": per_token([before[index] for index in indices]).to_json(),
        "after": per_token([after[index] for index in indices]).to_json(),
        "change": per_token(changes).to_json(),
    }


def _notes(model: "OfflineModel", asked: Options, losses: dict[str, dict[str, Any]]) -> list[str]:
    notes = [_loss_note("tuned on", losses["tuned_on"])]
    if losses["held_out"]["examples"]:
        notes.append(_loss_note("held out", losses["held_out"]))
    else:
        notes.append("no items were held out, so overfitting of the routers does not show")
    if asked.top >= model.binding.experts:
        notes.append(
            f"top {asked.top} of {model.binding.experts} experts is every expert that the task selects: give a lower "
            "--top"
        )
    return notes


def _loss_note(name: str, losses: dict[str, Any]) -> str:
    before, after, change = losses["before"], losses["after"], losses["change"]
    low, high = change["bootstrap_95"]
    return (
        f"loss of the examples {name}: {before['value']:.4f} to {after['value']:.4f} nats per token "
        f"({change['value']:+.4f}, 95 % {low:+.4f} to {high:+.4f}, {losses['examples']} examples)"
    )
