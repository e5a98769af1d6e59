"""The readout: how much of a request's routing went to the experts of a set.

Letters of shapes: P phases, L MoE layers, E experts.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from polyglyph.contract.base import Document
from polyglyph.contract.expert_set import ExpertSet
from polyglyph.contract.model import RouterDescription
from polyglyph.contract.plan import PHASES, Phase

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class PhaseReadout(Document):
    """A set in one phase of a request.

    Attributes:
        value: Of a set with a bias the logistic of bias + sum over its experts of weight x selections / tokens; of one
            without, `share`. None where no token was computed.
        share: Selections of the set's experts over all selections in the layers that the set has experts in.
        num_tokens: Tokens of the phase that were computed; those from the prefix cache were not.
    """

    value: float | None
    share: float | None
    num_tokens: int = Field(ge=0)


class Readout(PhaseReadout):
    """A set in a request, all its sequences together: the set's own phase, and each of them.

    Attributes:
        threshold: The set's.
        above: Whether `value` reaches it; None where there is no value or no threshold.
        expected_share: `share` of a routing that selects all experts of a layer alike.
        phase: The set's own, which `value`, `share` and `num_tokens` are of.
        cannot_be_computed: Why there is no value.
    """

    threshold: float | None
    above: bool | None
    expected_share: float
    phase: Phase
    phases: Mapping[Phase, PhaseReadout]
    cannot_be_computed: str | None = None


def read_out(
    experts: ExpertSet,
    selected_PLE: "NDArray[np.integer[Any]]",
    num_tokens: Sequence[int],
    *,
    routers: Sequence[RouterDescription],
) -> Readout:
    """Read a set out of a request's own sums.

    Args:
        experts: A set of the loaded model.
        selected_PLE: How often each expert was selected, by phase.
        num_tokens: Computed tokens, by phase.
        routers: Of the loaded model.
    """
    phases = {
        phase: _read_phase(experts, selected_PLE[index], int(num_tokens[index])) for index, phase in enumerate(PHASES)
    }
    own, threshold = phases[experts.phase], experts.threshold_in_force
    return Readout(
        **dict(own),
        threshold=threshold,
        above=None if own.value is None or threshold is None else own.value >= threshold,
        expected_share=expected_share(experts, routers),
        phase=experts.phase,
        phases=phases,
        cannot_be_computed=None if own.value is not None else _reason(experts.phase, own.num_tokens),
    )


def expected_share(experts: ExpertSet, routers: Sequence[RouterDescription]) -> float:
    """Give the share of selections that fall into a set where all experts of a layer are selected alike, 0 to 1."""
    pairs = [(entry, routers[entry.layer]) for entry in experts.experts]
    expected = sum(router.top_k * len(entry.experts) / router.experts for entry, router in pairs)
    return expected / sum(router.top_k for _, router in pairs)


def logistic(logit: float) -> float:
    """Give 1 / (1 + exp(-logit)), without an overflow on either side."""
    if logit >= 0:
        return 1.0 / (1.0 + math.exp(-logit))
    odds = math.exp(logit)
    return odds / (1.0 + odds)


def _read_phase(experts: ExpertSet, selected_LE: "NDArray[np.integer[Any]]", num_tokens: int) -> PhaseReadout:
    layers = sorted(entry.layer for entry in experts.experts)
    total = int(selected_LE[layers].sum())
    share = int(selected_LE[experts.member_LE].sum()) / total if total else None
    if experts.bias is None or not num_tokens:
        return PhaseReadout(value=share, share=share, num_tokens=num_tokens)
    logit = experts.bias + float((experts.weight_LE * selected_LE).sum()) / num_tokens
    return PhaseReadout(value=logistic(logit), share=share, num_tokens=num_tokens)


def _reason(phase: Phase, num_tokens: int) -> str:
    if num_tokens:
        return f"no expert of the set's layers was selected in the phase '{phase}'"
    return f"no token of the phase '{phase}' was computed: there was none, or all came from the prefix cache"
