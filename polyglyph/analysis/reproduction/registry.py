"""The reproductions by name, each a module that is imported when it is run."""

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import TYPE_CHECKING

from polyglyph.analysis.reproduction.errors import ReproductionError

if TYPE_CHECKING:
    from polyglyph.analysis.reproduction.laboratory import Laboratory
    from polyglyph.analysis.reproduction.record import Reproduced

NAMES = (
    "premoe",
    "mote",
    "rice",
    "router-lens",
    "core-experts",
    "super-experts",
    "inconsistency",
    "rewire",
    "pathways",
)
ALL = "all"


def named(name: str) -> tuple[str, ...]:
    """Give the names that a name stands for.

    Raises:
        ReproductionError: It is none.
    """
    if name == ALL:
        return NAMES
    if name not in NAMES:
        raise ReproductionError(f"NAME: expected {', '.join(NAMES)} or {ALL}, got {name!r}")
    return (name,)


def reproduction(name: str) -> "Callable[[Laboratory], Awaitable[Reproduced]]":
    """Give what runs a reproduction."""
    module = import_module(f"polyglyph.analysis.reproduction.{name.replace('-', '_')}")
    run: Callable[[Laboratory], Awaitable[Reproduced]] = module.reproduce
    return run
