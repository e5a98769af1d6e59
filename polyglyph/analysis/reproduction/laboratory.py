"""The laboratory: a server, the organism's questions, the labelled runs that evidence comes from, and arms."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.identification.asking.ask import ask_prompts
from polyglyph.analysis.identification.asking.question import AskingOptions
from polyglyph.analysis.identification.asking.response_class import ResponseClass
from polyglyph.analysis.reproduction.answering import Answer, Answering
from polyglyph.analysis.reproduction.arm import Arm, Kind, matched_controls, uniform_controls
from polyglyph.analysis.reproduction.measured import Measured
from polyglyph.analysis.reproduction.questions import Question, Questions
from polyglyph.contract.model import ModelDescription
from polyglyph.contract.plan import Plan

if TYPE_CHECKING:
    from polyglyph.analysis.evidence.labelled_run import LabelledRun
    from polyglyph.analysis.identification.identified import Identified
    from polyglyph.analysis.offline.offline_model import OfflineModel
    from polyglyph.clients.async_client import AsyncPolyglyph

RunName = Literal["tasks", "thinking", "thinking-test", "direct", "direct-test"]
"""`tasks`: home facts, refusals, sums and contexts, with router scores; else facts in all scripts.

Direct unless it says thinking; of the development half unless it says test.
"""

REFUSED, SUMMED = "refusal", "sum"
"""Classes of responses in `tasks`."""

Sets = Mapping[str, Sequence[Question]]


@dataclass(frozen=True)
class Planned:
    """A plan that becomes an arm.

    Attributes:
        name: Of the arm.
        kind: What it is.
        plan: None for no steering.
        sets: That it is asked; None for all.
        draw: Of a random one.
    """

    name: str
    kind: Kind
    plan: Plan | None = None
    sets: tuple[str, ...] | None = None
    draw: int | None = None


@dataclass(eq=False, kw_only=True)
class Laboratory:
    """What a reproduction works with.

    Attributes:
        client: The server.
        described: The model that it serves; plans are bound to it.
        answering: Asks it.
        questions: The organism's.
        folder: For labelled runs.
        model: Directory of the organism, for what is computed offline.
        draws: Random controls of each kind.
        concurrency: Requests in flight at once.
        seed: Of resamples and draws.
    """

    client: "AsyncPolyglyph"
    described: ModelDescription
    answering: Answering
    questions: Questions
    folder: Path
    model: Path
    draws: int
    concurrency: int
    seed: int
    _runs: "dict[str, LabelledRun]" = field(default_factory=dict)

    async def run(self, name: RunName) -> "LabelledRun":
        """Give a labelled run, asked the first time that it is wanted."""
        from polyglyph.analysis.evidence.labelled_run import read_labelled_run

        if name not in self._runs:
            asked = self.asked_in(name)
            before = self.answering.num_asked
            await ask_prompts(
                self.client,
                [question.prompt() for question in asked],
                self.folder / name,
                self._options(name),
                concurrency=self.concurrency,
                watch=lambda done, _: self.answering.count(before + done),
            )
            self._runs[name] = read_labelled_run(self.folder / name)
            self._remember(asked, self._runs[name])
        return self._runs[name]

    def asked_in(self, name: RunName) -> tuple[Question, ...]:
        """Give the questions of a labelled run."""
        questions = self.questions
        if name == "tasks":
            return tuple(q for task in ("home", "refusal", "arithmetic", "context") for q in questions.evidence(task))
        is_thinking = name.startswith("thinking")
        half: Any = "test" if name.endswith("-test") else "development"
        facts = (questions.evidence(task, is_thinking=is_thinking, half=half) for task in ("home", "cross"))
        return tuple(question for asked in facts for question in asked)

    def offline(self) -> "OfflineModel":
        """Load the organism for a pass of transformers.

        On one thread: the server has the cores too, and two threads that wait for one another took nine times as long
        to tune routers (88 s against 10 s, two cores).
        """
        import torch

        from polyglyph.analysis.offline.offline_model import load_offline

        torch.set_num_threads(1)
        return load_offline(self.model, device="cpu")

    async def measure(self, sets: Sets, planned: Sequence[Planned]) -> Measured:
        """Ask sets of questions without steering, and by plans."""
        arms = [
            Arm(
                name=each.name,
                kind=each.kind,
                plan=each.plan,
                draw=each.draw,
                answers={
                    name: await self.answering.ask(questions, each.plan)
                    for name, questions in sets.items()
                    if each.sets is None or name in each.sets
                },
            )
            for each in (Planned("none", "none"), *planned)
        ]
        return Measured(sets, tuple(arms), self.seed)

    def plan(self, found: "Identified", name: str) -> Plan:
        """Give the plan of what was identified, bound to the served model.

        Raises:
            NothingChosenError: No expert was chosen.
        """
        return found.bound(self.described).plan(name)

    def controls(
        self,
        plan: Plan,
        frequencies_LE: NDArray[np.float64] | None,
        *,
        kinds: Sequence[Kind] = ("matched", "uniform"),
        sets: tuple[str, ...] | None = None,
    ) -> list[Planned]:
        """Give the random controls of a plan, matched ones as far as there are any."""
        matched = matched_controls(plan, frequencies_LE, draws=self.draws) if "matched" in kinds else ()
        uniform = uniform_controls(plan, draws=self.draws) if "uniform" in kinds else ()
        return [
            *(Planned(f"matched-{draw}", "matched", each, sets, draw) for draw, each in enumerate(matched, 1)),
            *(Planned(f"uniform-{draw}", "uniform", each, sets, draw) for draw, each in enumerate(uniform, 1)),
        ]

    def _options(self, name: RunName) -> AskingOptions:
        if name != "tasks":
            return AskingOptions(scorer="exact")
        words = "|".join(map(re.escape, self.questions.answers_of("refusal")))
        classes = (ResponseClass(REFUSED, re.compile(f"^({words})$")), ResponseClass(SUMMED, re.compile(r"^\d+$")))
        return AskingOptions(wants_scores=True, classes=classes, scorer="exact")

    def _remember(self, asked: Sequence[Question], run: "LabelledRun") -> None:
        for question in asked:
            labels = run.labels[question.id]
            answer = Answer(labels.get("text", ""), labels.get("reasoning", ""), labels["right"] == "true")
            self.answering.remember(question, answer)
