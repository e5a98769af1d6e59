"""Items: what a benchmark asks, one question in one script."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from polyglyph.contract.base import Document
from polyglyph.contract.policy import ScriptCode

Half = Literal["development", "test"]
Text = Annotated[str, Field(min_length=1)]


class Item(Document):
    """One question.

    Attributes:
        id: Unique in the benchmark.
        entity: What the question is about. Halves are split, and intervals drawn, by it.
        fact: The same for one fact asked in several scripts or languages; RankC and ECLeKTic pair items by it.
        task: `knowledge`, or a name of something that steering ought to leave alone (`arithmetic`, `context`).
        question: What the user writes, in the target script.
        source_script: Script the model is expected to have learned the answer in.
        target_script: Script of the question.
        source_language: BCP 47, where known; MultiLoKo's mother-tongue effect and the regression need both languages.
        target_language: BCP 47, where known.
        answers: Every accepted answer, in the target script.
        source_answers: The same in the source script, for scorers that count a right answer in the wrong script.
        candidates: All answers that are possible, for RankC.
        system: System message of this item in every arm, in place of the benchmark's: what the question is about.
        context: Text in the source language that holds the answer.
        entity_hint: The entity written in the source script.
        half: Which half the item belongs to; drawn by entity where absent.
        max_tokens: Tokens to allow this answer; the benchmark's where absent.
    """

    id: Text
    entity: Text
    fact: Text
    task: Text = "knowledge"
    question: Text
    source_script: ScriptCode
    target_script: ScriptCode
    source_language: Text | None = None
    target_language: Text | None = None
    answers: tuple[Text, ...] = Field(min_length=1)
    source_answers: tuple[Text, ...] = ()
    candidates: tuple[Text, ...] = ()
    system: Text | None = None
    context: Text | None = None
    entity_hint: Text | None = None
    half: Half | None = None
    max_tokens: int | None = Field(default=None, ge=1)

    @property
    def is_cross(self) -> bool:
        """Whether the question is written in another script than the fact was learned in."""
        return self.source_script != self.target_script

    @property
    def pair(self) -> tuple[str, str]:
        """Query script and source script: what a plan is chosen by."""
        return self.target_script, self.source_script

    @model_validator(mode="after")
    def _answers_are_not_given_away(self) -> "Item":
        given = [answer for answer in self.answers if self.task == "knowledge" and answer in self.question]
        if given:
            raise ValueError(f"the answer {given[0]!r} appears in the question {self.question!r}")
        return self
