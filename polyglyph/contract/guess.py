"""How a policy guesses the source script of a question: from its words, or from an unsteered pass over its prompt."""

from typing import Annotated, Literal

from pydantic import Field

from polyglyph.contract.entity_guess import EntityGuess
from polyglyph.contract.probe_guess import ProbeGuess

GuessKind = Literal["entities", "probe"]
Guess = Annotated[EntityGuess | ProbeGuess, Field(discriminator="kind")]
