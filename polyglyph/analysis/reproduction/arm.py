"""Arms: a way to ask questions, by a plan that was found, by its random controls or by none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.reproduction.answering import Answer
from polyglyph.analysis.search.errors import NoControlError
from polyglyph.analysis.search.random_matched import random_matched
from polyglyph.contract.plan import Edit, Plan, Provenance

Kind = Literal["none", "method", "matched", "uniform", "other"]
"""`matched` and `uniform` are random: matched on layer and selection frequency, or drawn from the layer at will."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One arm.

    Attributes:
        name: In tables.
        kind: What it is.
        plan: That its questions are steered by.
        draw: Of a random one.
        answers: By the name of a set of questions, in their order.
    """

    name: str
    kind: Kind
    plan: Plan | None = None
    draw: int | None = None
    answers: Mapping[str, Sequence[Answer]]

    def right(self, name: str) -> NDArray[np.float64]:
        """Give 1 for right answers to a set of questions and 0 for wrong ones."""
        return np.array([answer.is_right for answer in self.answers[name]], dtype=np.float64)

    def to_json(self) -> dict[str, Any]:
        """Say what it is, without what it answered."""
        document: dict[str, Any] = {"arm": self.name, "kind": self.kind}
        if self.draw is not None:
            document["draw"] = self.draw
        if self.plan is not None:
            doses = [answer.dose for answers in self.answers.values() for answer in answers]
            document |= {
                "fingerprint": self.plan.fingerprint,
                "phases": list(self.plan.phases),
                "num_experts": sum(len(edit.experts) for edit in self.plan.edits),
                "mean_dose": round(float(np.mean(doses)), 4) if doses else 0.0,
            }
        return document


def matched_controls(plan: Plan, frequencies_LE: NDArray[np.float64] | None, *, draws: int) -> tuple[Plan, ...]:
    """Give random controls matched on layer and selection frequency; none where there are none."""
    if frequencies_LE is None:
        return ()
    try:
        return tuple(random_matched(plan, frequencies_LE, draw=draw) for draw in range(1, draws + 1))
    except NoControlError:
        return ()


def uniform_controls(plan: Plan, *, draws: int) -> tuple[Plan, ...]:
    """Give random controls as papers draw them: the edits dealt to any experts of the same layer."""
    return tuple(uniform_control(plan, draw) for draw in range(1, draws + 1))


def uniform_control(plan: Plan, draw: int) -> Plan:
    """Give one of them."""
    rng = np.random.default_rng([draw, int(plan.fingerprint.removeprefix("sha256:")[:16], 16)])
    deal_LE = np.stack([rng.permutation(plan.model.experts) for _ in range(plan.model.layers)])
    provenance = Provenance.model_validate(
        {"method": "uniform random control", "control_of": plan.fingerprint, "draw": draw}
    )
    edits = tuple(_dealt(edit, deal_LE) for edit in plan.edits)
    return plan.model_copy(
        update={"name": f"{plan.name[:50]}-uniform-{draw}", "edits": edits, "provenance": provenance}
    )


def _dealt(edit: Edit, deal_LE: NDArray[np.int64]) -> Edit:
    experts = tuple(sorted(int(deal_LE[edit.layer, expert]) for expert in edit.experts))
    return edit.model_copy(update={"experts": experts})


def of_kind(arms: Sequence[Arm], kind: Kind) -> list[Arm]:
    """Give the arms of a kind."""
    return [arm for arm in arms if arm.kind == kind]


def renamed(arm: Arm, name: str) -> Arm:
    """Give the same arm under another name."""
    return replace(arm, name=name)
