"""What every check needs: the server under examination, its model, and prompts no earlier run has used."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from polyglyph.clients.answers import LoadedModel
from polyglyph.clients.verify.edits import ban_most_used, force_least_used
from polyglyph.clients.verify.line import NotCheckedError
from polyglyph.clients.verify.probe import ABSENT, Probe, Question, new_nonce
from polyglyph.clients.verify.prompts import TEXTS, marked
from polyglyph.contract.routing import RoutingSummary


@dataclass(frozen=True)
class Examination:
    """One run of the checks against one server.

    Attributes:
        probe: The server.
        model: What it has loaded.
        reference_url: A plain vLLM server of the same model, or None to start one.
        max_tokens: Longest answer of a question.
        nonce: Begins every prompt of this run.
    """

    probe: Probe
    model: LoadedModel
    reference_url: str | None = None
    max_tokens: int = 24
    nonce: str = field(default_factory=new_nonce)

    @cached_property
    def routing(self) -> RoutingSummary:
        """Unsteered routing sums over some of the prompts' tokens: which experts are in use."""
        question = Question(prompt=marked(new_nonce(), " ".join(TEXTS)), max_tokens=self.max_tokens, wants_summary=True)
        summary = self.probe.ask(question).summary
        if summary is None:
            raise NotCheckedError("the server returned no routing summary for a request that asked for one")
        return summary

    @cached_property
    def bans(self) -> list[dict[str, Any]]:
        """Edits that ban the most used experts of every layer."""
        self._check_edits_allowed()
        return ban_most_used(self.routing, self.model)

    @cached_property
    def forces(self) -> list[dict[str, Any]]:
        """Edits that force the least used expert of every layer."""
        self._check_edits_allowed()
        return force_least_used(self.routing, self.model)

    @property
    def strong_edits(self) -> list[dict[str, Any]]:
        """Edits that turn routing upside down."""
        return [*self.bans, *self.forces]

    @cached_property
    def unsteered(self) -> object:
        """The `steering` field of an unsteered request: absent, unless the server steers by default."""
        echo = self.probe.ask(Question(prompt=marked(new_nonce(), "?"), steering=ABSENT, max_tokens=1)).steering
        return False if echo is not None and echo.applied else ABSENT

    def _check_edits_allowed(self) -> None:
        if not self.model.settings.inline_edits:
            raise NotCheckedError("the server refuses inline edits (--no-inline-edits), which this check is made of")
