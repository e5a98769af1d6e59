"""One line of the report: a promise, and whether it was kept."""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """What a check found."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True)
class Line:
    """What one check found.

    Attributes:
        promise: Its number in the contract.
        name: One word for it.
        verdict: Kept, broken, or not looked at.
        text: What was compared, or what broke it, or why it was not looked at.
        figures: The numbers behind it.
    """

    promise: int
    name: str
    verdict: Verdict
    text: str
    figures: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Give the line as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Finding:
    """What a check hands back: the first fault, if any, and the figures.

    Attributes:
        text: What was compared.
        fault: What broke the promise, or None.
        figures: The numbers behind it.
    """

    text: str
    fault: str | None = None
    figures: dict[str, Any] = field(default_factory=dict)


class NotCheckedError(Exception):
    """A check that cannot be made here; its text says why and what would allow it."""
