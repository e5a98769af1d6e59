"""Turns jobs into the bodies of requests."""

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from polyglyph.analysis.evaluation.benchmark import Header
from polyglyph.analysis.evaluation.item import Item
from polyglyph.analysis.evaluation.job import Job
from polyglyph.analysis.evaluation.prompts import messages_of

if TYPE_CHECKING:
    from polyglyph.analysis.rules.rule import FirstPass

WHOLE_DISTRIBUTION = {"top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
"""Sampling cuts nothing off, whatever the model's own generation settings say."""
GREEDY = {"temperature": 0.0, "repetition_penalty": 1.0}


@dataclass(frozen=True, kw_only=True)
class Asking:
    """What all requests of a run have in common.

    Attributes:
        model: The served model's name.
        header: Of the benchmark.
        seed: Of the run.
    """

    model: str
    header: Header
    seed: int

    def body(self, job: Job, steering: Any) -> dict[str, Any]:
        """Give the body that asks a job.

        Args:
            job: The item, and the arm whose words, mode and temperature are taken.
            steering: The `steering` field; None for no steering, whatever the server's default is.
        """
        return {
            **self._common(job.item, is_thinking=job.arm.is_thinking, words=job.arm.prompt),
            **self._sampling(job),
            "steering": False if steering is None else steering,
        }

    def first_pass(self, item: Item, first: "FirstPass", *, is_thinking: bool) -> dict[str, Any]:
        """Give the body of the unsteered, greedy request that a rule looks at."""
        body = {**self._common(item, is_thinking=is_thinking, words="plain"), **GREEDY, "steering": False}
        if first.max_tokens is not None:
            body["max_tokens"] = min(first.max_tokens, body["max_tokens"])
        # A salt of its own: the summary holds what was computed, not what the prefix cache served.
        wants = {"routing": {"return": ["summary"]}, "cache_salt": secrets.token_hex(16)}
        return body | (wants if first.wants_routing else {})

    def _common(self, item: Item, *, is_thinking: bool, words: str) -> dict[str, Any]:
        header = self.header
        return {
            **(header.thinking if is_thinking else header.direct),
            "model": self.model,
            "messages": messages_of(item, header.prompts, words),
            "max_tokens": item.max_tokens or header.max_tokens,
        }

    def _sampling(self, job: Job) -> dict[str, Any]:
        if not job.arm.temperature:
            return GREEDY
        seed = job.sampling_seed(self.seed)
        return {**WHOLE_DISTRIBUTION, "temperature": job.arm.temperature, "seed": seed}
