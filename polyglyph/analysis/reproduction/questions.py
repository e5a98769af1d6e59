"""The organism's questions by task and half: experts are found on the development half and judged on the test half."""

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from polyglyph.analysis.evaluation.benchmark import Benchmark, Header
from polyglyph.analysis.evaluation.item import Half, Item
from polyglyph.analysis.evaluation.prompts import messages_of
from polyglyph.analysis.identification.asking.prompt import Prompt

Task = Literal["home", "cross", "refusal", "arithmetic", "context"]
KNOWLEDGE = "knowledge"


@dataclass(frozen=True, kw_only=True)
class Question:
    """One item, asked with or without thinking.

    Attributes:
        item: Of the organism's benchmark.
        header: The benchmark's.
        is_thinking: Whether the model may write a trace.
    """

    item: Item
    header: Header
    is_thinking: bool = False

    @property
    def id(self) -> str:
        """Its own."""
        return f"{self.item.id}/{'thinking' if self.is_thinking else 'direct'}"

    @property
    def task(self) -> str:
        """`home` and `cross` are facts, asked in the script they were learned in and in another."""
        if self.item.task != KNOWLEDGE:
            return self.item.task
        return "cross" if self.item.is_cross else "home"

    @property
    def options(self) -> dict[str, Any]:
        """Further fields of its request."""
        return self.header.thinking if self.is_thinking else self.header.direct

    @property
    def max_tokens(self) -> int:
        """Tokens to allow."""
        return self.item.max_tokens or self.header.max_tokens

    @property
    def messages(self) -> list[dict[str, str]]:
        """The chat."""
        return messages_of(self.item, self.header.prompts)

    def prompt(self) -> Prompt:
        """Give it as a prompt of a labelled run."""
        return Prompt(
            id=self.id,
            item=self.item.fact,
            script=self.item.target_script,
            messages=tuple(self.messages),
            expected=self.item.answers,
            labels={"task": self.task, "about": self.item.entity, "source": self.item.source_script},
            chat_template_kwargs=self.options.get("chat_template_kwargs"),
            max_tokens=self.max_tokens,
        )


class Questions:
    """The questions of one benchmark.

    Args:
        benchmark: The organism's.
        limit: Of questions per task that arms are asked; evidence takes four times as many.
        seed: Draws which.
    """

    def __init__(self, benchmark: Benchmark, *, limit: int, seed: int) -> None:
        self._benchmark, self._limit, self._seed = benchmark, limit, seed

    def judged(self, task: Task, *, is_thinking: bool = False, script: str | None = None) -> tuple[Question, ...]:
        """Give questions of the test half, on which arms are judged.

        Args:
            task: Which.
            is_thinking: Whether the model may write a trace.
            script: That they are asked in; None for all.
        """
        # A question is asked in three scripts away from home.
        limit = 2 * self._limit if task == "cross" else self._limit
        return self._take(task, "test", is_thinking=is_thinking, script=script, limit=limit)

    def evidence(self, task: Task, *, is_thinking: bool = False, half: Half = "development") -> tuple[Question, ...]:
        """Give questions that experts are found on; of the test half only where a readout is judged on its own."""
        return self._take(task, half, is_thinking=is_thinking, script=None, limit=4 * self._limit)

    @property
    def scripts(self) -> tuple[str, ...]:
        """Scripts that facts were learned in."""
        return tuple(sorted({item.source_script for item in self._benchmark.items if item.task == KNOWLEDGE}))

    def answers_of(self, task: Task) -> tuple[str, ...]:
        """Give every answer of a task, each once."""
        of_task = (item for item in self._benchmark.items if item.task == task)
        return tuple(dict.fromkeys(answer for item in of_task for answer in item.answers))

    def _take(
        self, task: Task, half: Half, *, is_thinking: bool, script: str | None, limit: int
    ) -> tuple[Question, ...]:
        every = (Question(item=item, header=self._benchmark.header, is_thinking=is_thinking) for item in self._items())
        found = [
            question
            for question in every
            if question.task == task and question.item.half == half and script in {None, question.item.target_script}
        ]
        if len(found) <= limit:
            return tuple(found)
        drawn = Random(f"{self._seed} {task} {half}").sample(range(len(found)), limit)
        return tuple(found[index] for index in sorted(drawn))

    def _items(self) -> Iterable[Item]:
        return self._benchmark.items


def entities_of(questions: Iterable[Question]) -> list[str]:
    """Give what intervals are drawn over: the entity, or the sum, of each question."""
    return [question.item.entity for question in questions]
