"""Cells: figures of a results document as text, with the reason where there is no figure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Part = Mapping[str, Any]

REASON = "cannot_be_computed"


def reason_of(part: Any) -> str | None:
    """Give the reason that stands where a figure would; None where there is one."""
    return f"cannot be computed: {part[REASON]}" if isinstance(part, Mapping) and REASON in part else None


def rate(part: Part) -> str:
    """Write a score: 57.6 % [52.0, 63.1]."""
    if reason := reason_of(part):
        return reason
    low, high = part["wilson_95"]
    return f"{_percent(part['rate'])} % [{_percent(low)}, {_percent(high)}]"


def percent(part: Any) -> str:
    """Write a share: 57.6 %, with its interval where it has one."""
    if reason := reason_of(part):
        return reason
    if isinstance(part, Mapping):
        low, high = part["bootstrap_95"]
        return f"{_percent(part['value'])} % [{_percent(low)}, {_percent(high)}]"
    return f"{_percent(part)} %"


def points(part: Part) -> str:
    """Write a difference of shares in points: +16.8 [+12.4, +21.9]."""
    if reason := reason_of(part):
        return reason
    low, high = part["bootstrap_95"]
    return f"{_signed(part['value'])} [{_signed(low)}, {_signed(high)}]"


def plain(part: Any, *, decimals: int = 2) -> str:
    """Write a number, with its interval where it has one."""
    if reason := reason_of(part):
        return reason
    if isinstance(part, Mapping):
        low, high = part["bootstrap_95"]
        return f"{part['value']:.{decimals}f} [{low:.{decimals}f}, {high:.{decimals}f}]"
    return f"{part:.{decimals}f}"


def p_value(test: Part) -> str:
    """Write McNemar's mid-p, and Holm's where several were adjusted."""
    if reason := reason_of(test):
        return reason
    if "p_mid" not in test:
        return ""
    adjusted = f" (Holm {_small(test['p_mid_holm'])})" if "p_mid_holm" in test else ""
    return f"{_small(test['p_mid'])}{adjusted}, +{test['gained']} -{test['lost']}"


def shares(part: Mapping[str, float], *, most: int = 3) -> str:
    """Write the largest shares: Cyrl 51 %, Latn 48 %."""
    return ", ".join(f"{name} {100 * value:.0f} %" for name, value in list(part.items())[:most])


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table; nothing where there are no rows."""
    lines = [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
    if not lines:
        return ""
    return "\n".join([f"| {' | '.join(header)} |", "|" + "---|" * len(header), *lines])


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _signed(value: float) -> str:
    # A difference of -0.0001 is no loss: adding zero drops the sign of a rounded zero.
    return f"{round(100 * value, 1) + 0.0:+.1f}"


def _small(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"
