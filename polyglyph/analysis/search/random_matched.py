"""The random control: a plan's edits dealt to other experts of the same layer that are selected about as often.

Letters of shapes: L MoE layers, E experts.
"""

import numpy as np
from numpy.typing import NDArray

from polyglyph import __version__
from polyglyph.analysis.search.errors import NoControlError
from polyglyph.contract.plan import Edit, Plan, Provenance

MAX_BINS = 10
EXPERTS_PER_BIN = 4
NUM_TRIES = 64
NAME_LIMIT = 64

_METHOD = "random control: the edits of another plan, dealt to experts of the same layer and selection-frequency bin"


def random_matched(plan: Plan, frequencies_LE: NDArray[np.float64], *, draw: int) -> Plan:
    """Deal a plan's edits to other experts, matched on layer and selection frequency (methods section 3, `random`).

    Within each bin of a layer, experts change places by a random permutation and take their edits along, so that there
    are as many edits of the same values in every layer. An expert stays where it is as often as chance has it: about
    one per bin, which makes the control resemble the plan a little and a claim against it harder.

    Args:
        plan: The plan to control.
        frequencies_LE: How often each expert is selected on the text the plan was made from, any scale, of shape
            [layers, experts].
        draw: Which control; the same draw of the same plan is the same control.

    Returns:
        A plan of the same model, phases and number of edits, named `NAME-random-DRAW`. Its fingerprint differs.

    Raises:
        NoControlError: The frequencies have another shape or are not finite, or no dealing differs from the plan.
    """
    _check(plan, frequencies_LE)
    bins_LE = np.stack([frequency_bins(frequencies_E) for frequencies_E in frequencies_LE])
    content = _content(plan.edits)
    for attempt in range(NUM_TRIES):
        rng = np.random.default_rng([draw, attempt, int(plan.fingerprint.removeprefix("sha256:")[:16], 16)])
        deal_LE = np.stack([_deal(bins_E, rng) for bins_E in bins_LE])
        edits = tuple(_dealt(edit, deal_LE) for edit in plan.edits)
        if _content(edits) != content:
            return _control(plan, edits, draw=draw)
    raise NoControlError(
        f"plan '{plan.name}' has no matched random control: in every bin of experts selected about equally often, all "
        "experts are edited alike, so that dealing them anew changes nothing"
    )


def frequency_bins(frequencies_E: NDArray[np.float64]) -> NDArray[np.int64]:
    """Give the frequency bin of each expert of one layer.

    Args:
        frequencies_E: Selection frequencies, any scale.

    Returns:
        int64 [experts]: deciles, or so many bins fewer that each has at least 4 experts. Experts selected equally
        often are told apart by their number.
    """
    num_experts = len(frequencies_E)
    num_bins = max(1, min(MAX_BINS, num_experts // EXPERTS_PER_BIN))
    bins_E = np.empty(num_experts, dtype=np.int64)
    for index, experts in enumerate(np.array_split(np.argsort(frequencies_E, kind="stable"), num_bins)):
        bins_E[experts] = index
    return bins_E


def _check(plan: Plan, frequencies_LE: NDArray[np.float64]) -> None:
    shape = (plan.model.layers, plan.model.experts)
    if frequencies_LE.shape != shape:
        raise NoControlError(
            f"expected frequencies of the plan's model, shape {shape}, got {frequencies_LE.shape}: use stats of the "
            "same model"
        )
    if not np.isfinite(frequencies_LE).all():
        raise NoControlError("expected finite frequencies, got NaN or infinity: no tokens were counted in some group")
    if not plan.edits:
        raise NoControlError(f"plan '{plan.name}' has no edits, so there is nothing to control")


def _deal(bins_E: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Give the expert that takes each expert's edits."""
    deal_E = np.arange(len(bins_E))
    for index in range(int(bins_E.max()) + 1):
        experts = np.flatnonzero(bins_E == index)
        deal_E[experts] = rng.permutation(experts)
    return deal_E


def _dealt(edit: Edit, deal_LE: NDArray[np.int64]) -> Edit:
    return edit.model_copy(
        update={"experts": tuple(sorted(int(deal_LE[edit.layer, expert]) for expert in edit.experts))}
    )


def _content(edits: tuple[Edit, ...]) -> list[str]:
    """Give what edits do, whatever their order and grouping."""
    single = (
        edit.model_copy(update={"experts": (expert,)}).model_dump_json() for edit in edits for expert in edit.experts
    )
    return sorted(single)


def _control(plan: Plan, edits: tuple[Edit, ...], *, draw: int) -> Plan:
    suffix = f"-random-{draw}"
    provenance = Provenance.model_validate(
        {
            "method": _METHOD,
            "tool": f"polyglyph {__version__}",
            "stats_sha256": plan.provenance.stats_sha256 if plan.provenance else None,
            "control_of": plan.fingerprint,
            "draw": draw,
        }
    )
    update = {
        "name": plan.name[: NAME_LIMIT - len(suffix)] + suffix,
        "description": f"Random control of {plan.name}, draw {draw}.",
        "edits": edits,
        "provenance": provenance,
    }
    return plan.model_copy(update=update)
