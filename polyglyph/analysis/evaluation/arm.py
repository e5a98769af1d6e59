"""Arms: the ways in which every item of a run is asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class ArmKind(StrEnum):
    """What an arm is for. `NONE` is what all others are compared with, in the same mode and at the same temperature."""

    NONE = "none"
    PLAN = "plan"
    RANDOM = "random"
    WRONG_SCRIPT = "wrong-script"
    OPPOSITE = "opposite"
    STRENGTH = "strength"
    HINT = "hint"
    THINK_IN_SOURCE = "think-in-source"
    CONTEXT = "context"
    HINT_AND_PLAN = "hint+plan"
    AUTO = "auto"


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to ask.

    Attributes:
        name: Unique in a run: `none`, `plan`, `random-3`, `strength-1.5`, `auto-probe`, `none-direct`, `plan-t1`.
        kind: What it is for.
        is_thinking: Thinking or direct mode.
        temperature: 0 is greedy.
        num_samples: Answers per item; above 1 only with a temperature.
        prompt: Which words: `plain`, `hint`, `think_in_source` or `context`.
        steering: By (query script, source script), the `steering` field as JSON values; pairs that are absent are
            asked unsteered, as is everything where it is empty. The control arms' fields carry inline edits.
        rule: Name of the rule that guesses the source script; None gives the oracle, the item's own.
        draw: Which draw of a random control; None for others.
    """

    name: str
    kind: ArmKind
    is_thinking: bool = True
    temperature: float = 0.0
    num_samples: int = 1
    prompt: str = "plain"
    steering: Mapping[tuple[str, str], Any] = field(default_factory=dict)
    rule: str | None = None
    draw: int | None = None
