"""Compositions: edits of several plans and dials in force at once, refused where they contradict each other."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Literal

from polyglyph.contract.edits import check_edits
from polyglyph.contract.errors import ImpossibleEditError, PlanConflictError
from polyglyph.contract.model import ModelDescription, RouterDescription
from polyglyph.contract.plan import Edit

Wish = Literal["bans it", "forces it", "pushes it up", "pushes it down", "scales it", "scales it to 0"]

_AGAINST: dict[Wish, tuple[Wish, ...]] = {
    "bans it": ("forces it", "pushes it up", "scales it"),
    "forces it": ("bans it", "pushes it down", "scales it to 0"),
    "pushes it up": ("bans it", "pushes it down"),
    "pushes it down": ("forces it", "pushes it up"),
    "scales it": ("bans it", "scales it", "scales it to 0"),
    "scales it to 0": ("forces it", "scales it", "scales it to 0"),
}
"""What one part may not want of an expert of which another wants this."""


@dataclass(frozen=True)
class Part:
    """Edits that belong together: a plan's, a dial's, or a request's own.

    Attributes:
        what: For error texts, such as `the plan 'a'`.
        param: Field path it came from.
        edits: Possible by themselves.
    """

    what: str
    param: str
    edits: tuple[Edit, ...]

    @cached_property
    def wishes(self) -> dict[tuple[int, Wish], set[int]]:
        """Give the experts of each layer that it wants something of."""
        wishes: dict[tuple[int, Wish], set[int]] = defaultdict(set)
        for edit in self.edits:
            if (wish := _wish_of(edit)) is not None:
                wishes[edit.layer, wish].update(edit.experts)
        return dict(wishes)

    @cached_property
    def renormalizes(self) -> dict[int, bool]:
        """Give whether its scales renormalize, by layer."""
        return {edit.layer: bool(edit.renormalize) for edit in self.edits if edit.op == "scale"}


def check_pair(one: Part, other: Part) -> None:
    """Refuse two parts that want opposite things of one expert.

    Pushes in the same direction add up. Two scales of one expert would multiply, which neither part asks for.

    Raises:
        PlanConflictError: Names both, the layer and the expert; its `param` is the second part's.
    """
    for (layer, wish), experts in sorted(one.wishes.items()):
        for against in _AGAINST[wish]:
            if both := experts & other.wishes.get((layer, against), set()):
                raise PlanConflictError(
                    f"{other.param}: {one.what} and {other.what} contradict each other on expert {min(both)} of layer "
                    f"{layer}: the first {wish}, the second {against}; leave one of them out",
                    param=other.param,
                )
    for layer in sorted(one.renormalizes.keys() & other.renormalizes.keys()):
        if one.renormalizes[layer] != other.renormalizes[layer]:
            first, second = ("does", "does not") if one.renormalizes[layer] else ("does not", "does")
            raise PlanConflictError(
                f"{other.param}: {one.what} and {other.what} contradict each other on layer {layer}: the first {first} "
                f"renormalize what it scales (expert {_listed(_scaled(one, layer))}), the second {second} (expert "
                f"{_listed(_scaled(other, layer))}); leave one of them out",
                param=other.param,
            )


def check_together(parts: Sequence[Part], model: ModelDescription, *, strength: float, param: str) -> None:
    """Refuse parts that cannot all be in force at once, though each can by itself.

    Args:
        parts: In the order of their edits.
        model: The loaded model.
        strength: The request's dial.
        param: Field path for what concerns several of them.

    Raises:
        PlanConflictError: Names the parts, the layer and the experts.
    """
    for one, other in combinations(parts, 2):
        check_pair(one, other)
    for layer in sorted({edit.layer for part in parts for edit in part.edits}):
        _check_counts(parts, model.routers[layer], param=param)
    try:
        check_edits([edit for part in parts for edit in part.edits], model, strength=strength, param="edits")
    except ImpossibleEditError as error:
        names = " and ".join(part.what for part in parts)
        raise PlanConflictError(f"{param}: {names} are not possible together: {error}", param=param) from error


def _wish_of(edit: Edit) -> Wish | None:
    if edit.op == "ban":
        return "bans it"
    if edit.op == "force":
        return "forces it"
    if edit.op == "scale":
        return "scales it" if edit.value else "scales it to 0"
    if not edit.value:
        return None
    return "pushes it up" if edit.value > 0 else "pushes it down"


def _check_counts(parts: Sequence[Part], router: RouterDescription, *, param: str) -> None:
    forced, banned = _wished(parts, router.layer, "forces it"), _wished(parts, router.layer, "bans it")
    if len(set().union(*forced.values())) > router.top_k:
        raise PlanConflictError(
            f"{param}: layer {router.layer} selects {router.top_k} experts per token, so at most {router.top_k} can be "
            f"forced; {_by_part(forced, 'forces')}",
            param=param,
        )
    if router.experts - len(set().union(*banned.values())) < router.top_k:
        raise PlanConflictError(
            f"{param}: layer {router.layer} selects {router.top_k} of {router.experts} experts, so at most "
            f"{router.experts - router.top_k} can be banned; {_by_part(banned, 'bans')}",
            param=param,
        )


def _wished(parts: Sequence[Part], layer: int, wish: Wish) -> dict[str, set[int]]:
    return {part.what: part.wishes[layer, wish] for part in parts if (layer, wish) in part.wishes}


def _scaled(part: Part, layer: int) -> set[int]:
    return part.wishes.get((layer, "scales it"), set()) | part.wishes.get((layer, "scales it to 0"), set())


def _by_part(members: dict[str, set[int]], verb: str) -> str:
    return ", ".join(f"{what} {verb} {_listed(experts)}" for what, experts in members.items())


def _listed(experts: set[int]) -> str:
    return ", ".join(map(str, sorted(experts)))
