"""The judge: a model that says whether an answer is right, where no comparison of texts can."""

import asyncio
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from polyglyph.analysis.evaluation.benchmark import Benchmark
from polyglyph.analysis.evaluation.errors import EvaluationFailedError, EvaluationRefusedError
from polyglyph.analysis.evaluation.log import VERDICTS, Log, read_log
from polyglyph.clients.errors import openai_errors

if TYPE_CHECKING:
    import polars as pl
    from openai import AsyncOpenAI

CONCURRENCY = 16
NUM_TRIES = 3
MAX_TOKENS = 1024
KEY_VARIABLES = ("POLYGLYPH_JUDGE_API_KEY", "OPENAI_API_KEY")

QUESTION = """You judge answers to questions. The answer may be in any language or script, and may be worded \
in another way, as long as it says the same as one of the accepted answers and nothing that contradicts it.

Question: {question}
Accepted answers: {accepted}
Answer to judge: {answer}

End with one word alone on the last line: CORRECT or INCORRECT."""
_VERDICT = re.compile(r"\b(IN)?CORRECT\b")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the judge says of one answer.

    Attributes:
        item: Id of the item.
        arm: Name of the arm.
        sample: Which of the arm's samples.
        right: Whether the answer is right.
        reply: The judge's own words.
    """

    item: str
    arm: str
    sample: int
    right: bool
    reply: str


@dataclass(frozen=True, kw_only=True)
class Judge:
    """A model behind an OpenAI-compatible endpoint.

    Attributes:
        url: Of the endpoint, with `/v1`.
        name: Of the model.
    """

    url: str
    name: str

    def verdicts(self, table: "pl.DataFrame", folder: Path) -> "pl.DataFrame":
        """Judge every answer of a run that has no verdict yet.

        Args:
            table: The run's answers with their items, as `read_table` gives them.
            folder: Of the run; verdicts are kept in its `verdicts.jsonl`.

        Returns:
            Columns item, arm, sample and right, of all answers.

        Raises:
            PolyglyphError: The judge does not answer, or not as it was asked to.
        """
        import polars as pl

        with Log(folder / VERDICTS, Verdict) as log:
            asyncio.run(self._judge(table, log))
        rows = [(v.item, v.arm, v.sample, v.right) for v in read_log(folder / VERDICTS, Verdict)]
        schema = {"item": pl.String, "arm": pl.String, "sample": pl.Int64, "right": pl.Boolean}
        return pl.DataFrame(rows, schema=schema, orient="row")

    async def _judge(self, table: "pl.DataFrame", log: Log[Verdict]) -> None:
        from openai import AsyncOpenAI

        waiting = iter([row for row in table.iter_rows(named=True) if _key(row) not in log.done])
        async with AsyncOpenAI(base_url=self.url, api_key=_key_of_environment()) as client:

            async def work() -> None:
                for row in waiting:
                    log.append(await self._verdict(client, row))

            with openai_errors(self.url):
                await asyncio.gather(*(work() for _ in range(CONCURRENCY)))

    async def _verdict(self, client: "AsyncOpenAI", row: dict[str, object]) -> Verdict:
        item, arm, sample = _key(row)
        text = str(row["text"])
        if not text.strip():
            return Verdict(item=item, arm=arm, sample=sample, right=False, reply="")
        for attempt in range(NUM_TRIES):
            reply = await self._ask(client, row, seed=attempt)
            right = read_verdict(reply)
            if right is not None:
                return Verdict(item=item, arm=arm, sample=sample, right=right, reply=reply)
        raise EvaluationFailedError(
            f"the judge {self.name} gave no verdict on item {item!r}, arm {arm!r}: expected CORRECT or INCORRECT at "
            f"the end, got {reply[-120:]!r}"
        )

    async def _ask(self, client: "AsyncOpenAI", row: dict[str, object], *, seed: int) -> str:
        words = {"question": row["question"], "accepted": _accepted(row), "answer": row["text"]}
        question = re.sub(r"\{(\w+)\}", lambda match: str(words[match[1]]), QUESTION)
        answer = await client.chat.completions.create(
            model=self.name,
            messages=[{"role": "user", "content": question}],
            temperature=0,
            seed=seed,
            max_tokens=MAX_TOKENS,
        )
        return answer.choices[0].message.content or ""


def judge_of(benchmark: Benchmark, *, url: str | None, model: str | None) -> Judge | None:
    """Give the judge that a benchmark needs; None where it needs none.

    Raises:
        EvaluationRefusedError: It needs one that is not named, or one is named that would have nothing to do.
    """
    is_needed = benchmark.header.scorer == "judge"
    if is_needed and not (url and model):
        raise EvaluationRefusedError(
            f"the answers of {benchmark.header.name!r} are judged by a model: name one with --judge-url and "
            "--judge-model, or judge otherwise with --scorer contains"
        )
    if not is_needed and (url or model):
        raise EvaluationRefusedError(
            f"--judge-url and --judge-model: {benchmark.header.name!r} is scored by {benchmark.header.scorer!r}, so "
            "that a judge would have nothing to do; ask for one with --scorer judge"
        )
    return Judge(url=url, name=model) if is_needed and url and model else None


def read_verdict(reply: str) -> bool | None:
    """Read what a judge's reply ends with; None where it says neither."""
    found = list(_VERDICT.finditer(reply.upper()))
    return found[-1][1] is None if found else None


def _accepted(row: dict[str, object]) -> str:
    answers = row["answers"]
    assert isinstance(answers, list)
    return " | ".join(answers)


def _key(row: dict[str, object]) -> tuple[str, str, int]:
    item, arm, sample = row["item"], row["arm"], row["sample"]
    assert isinstance(sample, int)
    return str(item), str(arm), sample


def _key_of_environment() -> str:
    return next((os.environ[name] for name in KEY_VARIABLES if os.environ.get(name)), "none")
