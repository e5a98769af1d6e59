"""The source script of an `auto` request: guessed from its words, or pending until a probe has been read."""

from dataclasses import dataclass

from polyglyph.contract.entity_guess import EntityGuess
from polyglyph.contract.policy import Policy
from polyglyph.contract.probe_guess import ProbeGuess
from polyglyph.routing.scripts import entity_script, romanised_words


@dataclass(frozen=True, kw_only=True)
class PendingGuess:
    """A guess that the engine has to be asked for.

    Attributes:
        policy: The policy when the request came, which it is served by whatever is put meanwhile.
        probe: What is asked, and how the answer is read.
        script: The request script.
    """

    policy: Policy
    probe: ProbeGuess
    script: str


def guess_by_words(guess: EntityGuess, text: str) -> str | None:
    """Guess the source script from the user's text; None when it says nothing, or two things."""
    words = romanised_words(text)
    own = entity_script(text) if guess.by_entity_script else None
    return guess.source_of(entities=words.entities, others=words.others, entity_script=own)
