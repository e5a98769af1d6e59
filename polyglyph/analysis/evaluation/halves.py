"""Halves: parameters are chosen on development entities and reported on test entities, which share no entity."""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import get_args

from polyglyph.analysis.evaluation.errors import BenchmarkError
from polyglyph.analysis.evaluation.item import Half, Item

HALVES: tuple[Half, ...] = get_args(Half)


def draw_halves(items: Sequence[Item], *, seed: int) -> tuple[Item, ...]:
    """Give every item its half: the same for all items of an entity, evenly within each source script.

    Args:
        items: In any order, unchanged. A half that one names is its entity's.
        seed: Draws the same halves for the same entities and source scripts, on every machine.

    Returns:
        The items in their order. Of entities without a half of their own, both halves get equally many, in all and of
        each source script, but for one.

    Raises:
        BenchmarkError: Two items of one entity name different halves.
    """
    own = _own_halves(items)
    drawn = own | _draw(items, seed, without=own)
    return tuple(item.model_copy(update={"half": drawn[item.entity]}) for item in items)


def _own_halves(items: Iterable[Item]) -> dict[str, Half]:
    own: dict[str, Half] = {}
    for item in items:
        if item.half is not None and own.setdefault(item.entity, item.half) != item.half:
            raise BenchmarkError(
                f"item {item.id!r} is in the half {item.half!r}, but another item of its entity {item.entity!r} is in "
                f"{own[item.entity]!r}; an entity must be in one"
            )
    return own


def _draw(items: Iterable[Item], seed: int, *, without: dict[str, Half]) -> dict[str, Half]:
    scripts: dict[str, str] = {}
    for item in items:
        if item.entity not in without:
            scripts[item.entity] = min(item.source_script, scripts.get(item.entity, item.source_script))
    # Dealt in turn, a script after the other: even within each, and even in all.
    order = sorted(scripts, key=lambda entity: (scripts[entity], _lot(entity, seed), entity))
    return {entity: HALVES[index % 2] for index, entity in enumerate(order)}


def _lot(entity: str, seed: int) -> str:
    return sha256(f"{seed} {entity}".encode()).hexdigest()
