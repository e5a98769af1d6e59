"""The search: rounds of candidates on a context's first half, the best accepted, the second half held out.

Letters of shapes: L MoE layers, E experts, T tokens of the context but the first.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.identification.errors import IdentificationError
from polyglyph.analysis.identification.expert_table import expert_table
from polyglyph.analysis.identification.identified import Identified
from polyglyph.analysis.identification.rewiring.candidates import Candidate, Candidates
from polyglyph.analysis.identification.rewiring.context import FEWEST_TOKENS, Context
from polyglyph.analysis.identification.rewiring.scorer import Scorer, Vector, edits_of
from polyglyph.analysis.statistics.bootstrap import Bootstrap
from polyglyph.clients.profile.asking import first_model
from polyglyph.contract.model import ModelDescription
from polyglyph.contract.plan import PHASES, Phase

if TYPE_CHECKING:
    from polyglyph.clients.async_client import AsyncPolyglyph

METHOD = "rewire"
SMALLEST_STEP = 1 / 8
"""Of the first step: below that the search ends, whatever is left of the budget."""
LARGEST_VALUE = 100.0
"""Standard deviations that an expert is moved by at most: more moves no selection further."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a rewiring goes.

    Attributes:
        budget: Requests, the unsteered one included.
        per_round: Candidates of a round.
        step: Standard deviations that a single expert is moved by; halved after a round in which nothing helped.
        smallest_gain: Nats per token of the first half by which a step must lower the loss to be taken.
        layers: MoE layers that may be steered; None for all.
        phases: Of the plan; the context is prompt, so `prompt` must be among them.
        concurrency: Requests in flight at once.
        seed: Of what is drawn.
    """

    budget: int = 200
    per_round: int = 24
    step: float = 1.0
    smallest_gain: float = 1e-3
    layers: tuple[int, ...] | None = None
    phases: tuple[Phase, ...] = PHASES
    concurrency: int = 16
    seed: int = 0


@dataclass(eq=False)
class _State:
    """What the search has so far."""

    vector: Vector
    losses_T: NDArray[np.float64]
    step: float
    taken: list[str] = field(default_factory=list)
    last: Candidate | None = None


async def rewire(
    client: "AsyncPolyglyph",
    context: Context,
    options: Options | None = None,
    *,
    directions: Mapping[str, Vector] | None = None,
    watch: Callable[[int], None] | None = None,
) -> Identified:
    """Find an additive vector under which a server's model expects a context more.

    Every round tries candidates on top of the vector so far, as parallel requests, and takes the one with the lowest
    loss on the first half of the context's tokens if that is lower than before. The second half chooses nothing.

    Args:
        client: The server.
        context: The conversation.
        options: How the search goes.
        directions: Known ones by name, tried first; [L, E], of any scale.
        watch: Called with the number of answered requests.

    Returns:
        A plan for the conversation, with the losses before and after. None where no candidate helped.

    Raises:
        IdentificationError: The options or the context cannot be used, or the server did not steer.
        PolyglyphError: The server cannot be asked, or refuses.
    """
    asked = options or Options()
    served = await client.model()
    description = ModelDescription(binding=served.binding, routers=served.routers)
    shape = (description.binding.layers, description.binding.experts)
    layers = _check(asked, shape, directions or {})
    scorer = Scorer(
        client,
        context,
        model=await client.send(first_model()),
        phases=asked.phases,
        concurrency=asked.concurrency,
        watch=watch,
    )
    unsteered_T = (await scorer.score([np.zeros(shape)]))[0]
    if len(unsteered_T) < FEWEST_TOKENS:
        raise IdentificationError(
            f"expected a context of at least {FEWEST_TOKENS + 1} tokens, got {len(unsteered_T) + 1}: rewiring looks at "
            "the loss of the context itself"
        )
    candidates = Candidates(shape, layers, directions or {}, seed=asked.seed)
    state = await _search(scorer, candidates, _State(np.zeros(shape), unsteered_T, asked.step), asked)
    return _found(description, context, asked, state, unsteered_T, scorer.num_asked, list(directions or {}))


async def _search(scorer: Scorer, candidates: Candidates, state: _State, asked: Options) -> _State:
    while scorer.num_asked < asked.budget and state.step >= asked.step * SMALLEST_STEP:
        count = min(asked.per_round, asked.budget - scorer.num_asked)
        drawn = candidates.draw(count, state.step, state.last)
        vectors = [_limited(state.vector + candidate.step) for candidate in drawn]
        losses = await scorer.score(vectors)
        best = min(range(len(drawn)), key=lambda index: _chosen_on(losses[index]))
        if _chosen_on(losses[best]) < _chosen_on(state.losses_T) - asked.smallest_gain:
            state.vector, state.losses_T, state.last = vectors[best], losses[best], drawn[best]
            state.taken.append(drawn[best].name)
        else:
            state.last = None
            # The first rounds may all be known directions; only when a round of steps fails are the steps too long.
            state.step /= 2
    return state


def _limited(vector: Vector) -> Vector:
    return np.clip(vector, -LARGEST_VALUE, LARGEST_VALUE)


def _half(losses_T: NDArray[np.float64]) -> int:
    return len(losses_T) // 2


def _chosen_on(losses_T: NDArray[np.float64]) -> float:
    return float(losses_T[: _half(losses_T)].mean())


def _check(asked: Options, shape: tuple[int, int], directions: Mapping[str, Vector]) -> tuple[int, ...]:
    """Give the layers that may be steered."""
    if "prompt" not in asked.phases:
        raise IdentificationError(
            f"--phases: a context is prompt, so its loss says nothing of a plan for {', '.join(asked.phases)} alone; "
            "name prompt too"
        )
    if asked.budget < 2:
        raise IdentificationError(f"--budget: expected 2 requests or more, got {asked.budget}: the first is unsteered")
    for name, direction in directions.items():
        if direction.shape != shape:
            raise IdentificationError(
                f"direction {name!r} is of another model: expected {shape} layers and experts, got {direction.shape}"
            )
    layers = tuple(range(shape[0])) if asked.layers is None else asked.layers
    if max(layers) >= shape[0]:
        raise IdentificationError(f"--layers: the model has MoE layers 0 to {shape[0] - 1}, got {max(layers)}")
    return layers


def _found(  # noqa: PLR0917 - what a search ends with
    description: ModelDescription,
    context: Context,
    asked: Options,
    state: _State,
    unsteered_T: NDArray[np.float64],
    num_requests: int,
    directions: list[str],
) -> Identified:
    # As the plan has it: to a thousandth.
    vector = np.round(state.vector, 3)
    losses = _losses(unsteered_T, state.losses_T, asked.seed)
    return Identified(
        method=METHOD,
        model=description.binding,
        table=expert_table(vector, vector != 0, {}),
        edits=edits_of(vector),
        phases=asked.phases,
        parameters={
            "budget": asked.budget,
            "per_round": asked.per_round,
            "step": asked.step,
            "smallest_gain": asked.smallest_gain,
            "layers": None if asked.layers is None else list(asked.layers),
            "seed": asked.seed,
            "directions": directions,
        },
        statistics={
            "num_tokens": len(unsteered_T) + 1,
            "num_requests": num_requests,
            "steps": state.taken,
            "unit": "token",
            "loss": losses,
        },
        notes=tuple(_notes(losses, state, num_requests)),
        evidence_sha256=context.digest,
        description="Rewired for one conversation: lowers the loss of its context.",
        routers=description.routers,
    )


def _losses(before_T: NDArray[np.float64], after_T: NDArray[np.float64], seed: int) -> dict[str, dict[str, Any]]:
    """Give loss per token before and after, and its change with an interval over tokens, of either half."""
    half = _half(before_T)
    found = {}
    for name, part in (("chosen_on", slice(0, half)), ("held_out", slice(half, None))):
        change_T = after_T[part] - before_T[part]
        bootstrap = Bootstrap([str(index) for index in range(len(change_T))], seed=seed)
        found[name] = {
            "tokens": len(change_T),
            "before": round(float(before_T[part].mean()), 5),
            "after": round(float(after_T[part].mean()), 5),
            "change": bootstrap.mean(change_T).to_json(),
        }
    return found


def _notes(losses: dict[str, dict[str, Any]], state: _State, num_requests: int) -> list[str]:
    if not state.taken:
        return [f"no candidate of {num_requests - 1} lowered the loss of the context's first half: no plan"]
    notes = [_loss_note("first half, chosen on", losses["chosen_on"])]
    notes.append(_loss_note("second half, held out", losses["held_out"]))
    held_out = losses["held_out"]["change"]
    if held_out["value"] >= 0:
        notes.append("the held-out half did not gain: the plan fits the tokens it was chosen on, and no more")
    elif held_out["bootstrap_95"][1] >= 0:
        notes.append("the held-out half's gain cannot be told from none")
    notes.append("intervals are over tokens, which are not independent: they are too narrow")
    return notes


def _loss_note(name: str, losses: dict[str, Any]) -> str:
    low, high = losses["change"]["bootstrap_95"]
    return (
        f"loss of the context's {name}: {losses['before']:.4f} to {losses['after']:.4f} nats per token "
        f"({losses['change']['value']:+.4f}, 95 % {low:+.4f} to {high:+.4f}, {losses['tokens']} tokens)"
    )
