"""Figures: a number with its interval, or the reason why it cannot be computed; never a NaN."""

from dataclasses import dataclass
from math import isfinite
from typing import Any, NamedTuple

DECIMALS = 5


class Estimate(NamedTuple):
    """A number and its 95 % interval, in the same unit.

    Attributes:
        value: From all the data.
        interval: Lower and upper bound.
    """

    value: float
    interval: tuple[float, float]

    @property
    def low(self) -> float:
        """Lower bound of the interval."""
        return self.interval[0]

    @property
    def high(self) -> float:
        """Upper bound of the interval."""
        return self.interval[1]

    @property
    def is_above_zero(self) -> bool:
        """Whether the whole interval is."""
        return self.low > 0

    def to_json(self) -> dict[str, Any]:
        """Give value and bounds, rounded."""
        return {
            "value": round(self.value, DECIMALS),
            "bootstrap_95": [round(self.low, DECIMALS), round(self.high, DECIMALS)],
        }


@dataclass(frozen=True)
class Missing:
    """What stands where a figure would.

    Attributes:
        reason: Why the figure cannot be computed, in the reader's words.
    """

    reason: str

    def to_json(self) -> dict[str, Any]:
        """Give the reason."""
        return {"cannot_be_computed": self.reason}


Figure = Estimate | Missing


def number(value: float, *, otherwise: str) -> float | dict[str, Any]:
    """Give a number as JSON, or the reason where it is none.

    Args:
        value: Any number.
        otherwise: Why it cannot be computed, where it is not finite.
    """
    return round(float(value), DECIMALS) if isfinite(value) else Missing(otherwise).to_json()
