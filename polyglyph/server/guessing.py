"""The guesses of an `auto` request: made from its words, or pending until a probe has been read."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from polyglyph.contract.entity_guess import EntityGuess
from polyglyph.contract.guess import GuessKind
from polyglyph.contract.pattern_library import Match
from polyglyph.contract.policy import Policy
from polyglyph.contract.probe_guess import ProbeGuess
from polyglyph.routing.scripts import entity_script, romanised_words

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True)
class Guessed:
    """What is known of an `auto` request beside its script.

    Attributes:
        guess: How the source script was guessed; None where no plan hung on it.
        source: What was guessed; None where the guess was not sure.
        match: Nearest pattern of the policy's library; None where it has none.
    """

    guess: GuessKind | None = None
    source: str | None = None
    match: Match | None = None


@dataclass(frozen=True, kw_only=True)
class PendingGuess:
    """Guesses that the engine has to be asked for: one probe answers all of them.

    Attributes:
        policy: The policy when the request came, which it is served by whatever is put meanwhile.
        script: The request script.
        by_words: What is known without the engine.
        probe: How the source script is read; None where it does not hang on routing.
    """

    policy: Policy
    script: str
    by_words: Guessed
    probe: ProbeGuess | None = None

    def read(self, selected_LE: "np.ndarray[Any, Any]") -> Guessed:
        """Read the answer.

        Args:
            selected_LE: How often each expert was selected in the prompt.

        Raises:
            ValueError: The counts are of another model, or a layer has no selection.
        """
        patterns = self.policy.patterns
        match = patterns.nearest(selected_LE) if patterns else None
        if self.probe is None or (match is not None and match.pattern is not None):
            return replace(self.by_words, match=match)
        source = self.probe.source_of(selected_LE, query_script=self.script)
        return Guessed(guess=self.probe.kind, source=source, match=match)

    def unsure(self) -> Guessed:
        """Give what a probe that is sure of nothing says."""
        return self.by_words if self.probe is None else Guessed(guess=self.probe.kind)


def guess_by_words(guess: EntityGuess, text: str) -> str | None:
    """Guess the source script from the user's text; None when it says nothing, or two things."""
    words = romanised_words(text)
    own = entity_script(text) if guess.by_entity_script else None
    return guess.source_of(entities=words.entities, others=words.others, entity_script=own)
