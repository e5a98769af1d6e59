"""Label values that stay few, whatever requests and administrators bring."""

from typing import Final

NO_PLAN: Final = "none"
INLINE: Final = "inline"
OTHER: Final = "other"
"""Stands for all values that came after the limit was reached."""

_WORDS = frozenset({NO_PLAN, INLINE, OTHER})


def plan_label(name: str | None, *, has_inline_edits: bool) -> str:
    """Give the value of a `plan` label.

    Args:
        name: The plan's name in the registry, or None.
        has_inline_edits: Whether the request brought edits of its own.

    Returns:
        The name, with or without further edits; `inline` for edits alone, `none` for neither. A plan that bears one of
        our words is written `plan:none`, which no plan can be called.
    """
    if name is None:
        return INLINE if has_inline_edits else NO_PLAN
    return f"plan:{name}" if name in _WORDS else name


class LabelLimit:
    """Lets the first values through and turns all later ones into `other`.

    A value that was let through once stays, so that no counter ever falls.

    Args:
        limit: How many different values may appear, `other` and `free` not counted.
        free: Values that are always let through.
    """

    def __init__(self, limit: int, *, free: frozenset[str] = frozenset()) -> None:
        self._limit = limit
        self._free = free
        self._known: set[str] = set()

    def of(self, value: str) -> str:
        """Give the value to show for this one."""
        if value in self._free or value in self._known:
            return value
        if len(self._known) >= self._limit:
            return OTHER
        self._known.add(value)
        return value
