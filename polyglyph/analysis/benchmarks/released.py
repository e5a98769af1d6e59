"""Released benchmarks: items of other people's questions, some of which contain their answer and cannot be asked."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from polyglyph.analysis.evaluation.item import Item


@dataclass(frozen=True, kw_only=True)
class ReleasedQuestion:
    """A question of a released benchmark in one language, before it is known whether it can be asked.

    Attributes:
        id: Unique in the benchmark.
        entity: The article it is about.
        fact: The same for its translations.
        question: In the target language.
        suffix: What the user's turn has behind the question, such as the type of the answer.
        answers: In the target language.
        source_answers: In the source language.
        source_language: BCP 47.
        target_language: BCP 47.
        source_script: ISO 15924.
        target_script: ISO 15924.
        context: Text in the source language that holds the answer.
        entity_hint: The entity in the source language.
    """

    id: str
    entity: str
    fact: str
    question: str
    answers: tuple[str, ...]
    source_language: str
    target_language: str
    source_script: str
    target_script: str
    suffix: str = ""
    source_answers: tuple[str, ...] = ()
    context: str | None = None
    entity_hint: str | None = None

    @property
    def gives_its_answer_away(self) -> bool:
        """Whether an accepted answer stands in the user's turn."""
        return any(answer in self.question + self.suffix for answer in self.answers)

    def as_item(self) -> Item:
        """Give the item that asks it."""
        values = {name: value for name, value in vars(self).items() if name != "suffix"}
        return Item(**{**values, "question": self.question + self.suffix})


@dataclass
class Selection:
    """The questions that can be asked.

    Attributes:
        left_out: Ids of those that give their answer away.
    """

    left_out: list[str] = field(default_factory=list)

    def items(self, questions: Iterable[ReleasedQuestion]) -> Iterator[Item]:
        """Give the items of the questions that can be asked, and note the others."""
        for question in questions:
            if question.gives_its_answer_away:
                self.left_out.append(question.id)
            else:
                yield question.as_item()

    @property
    def note(self) -> str:
        """A sentence on what was left out, empty where nothing was."""
        if not self.left_out:
            return ""
        names = ", ".join(self.left_out[:5]) + (", ..." if len(self.left_out) > 5 else "")
        return f" Left out, because the question contains its answer: {len(self.left_out)} ({names})."
