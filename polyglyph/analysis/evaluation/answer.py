"""Answers: one row for each item, arm and sample; the run's log and its Parquet file hold these columns."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back, and what was measured on it without a judge.

    Attributes:
        item: Id of the item.
        arm: Name of the arm.
        sample: Which of the arm's samples, from 0.
        text: The answer, without the reasoning.
        reasoning: The reasoning, empty in direct mode.
        finish_reason: As the server says: `stop` or `length`.
        prompt_tokens: Of the request.
        completion_tokens: Reasoning and answer.
        plan: Fingerprint of what steered it, empty for none.
        strength: Of the steering, 0 for none.
        guessed_source: Source script that the arm's rule guessed; None for arms without a rule.
        dose: Share of (token, layer) selections that steering changed; 0 for none.
        tokens_steered: Tokens whose routing was edited.
        seconds: Wall clock of the request.
    """

    item: str
    arm: str
    sample: int
    text: str
    reasoning: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    plan: str
    strength: float
    guessed_source: str | None
    dose: float
    tokens_steered: int
    seconds: float
