"""Rankings of an item's candidates by how likely the model finds each as its direct answer: what RankC compares.

A candidate's score is the mean log-probability of its tokens behind the direct prompt. The server reads it as a part of
the prompt: of candidates with several tokens, all but the first are steered by a plan for the prompt though, had the
model written them, they would be of the answer.
"""

import asyncio
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyglyph.analysis.evaluation.arm import Arm, ArmKind
from polyglyph.analysis.evaluation.asking import Asking
from polyglyph.analysis.evaluation.errors import EvaluationFailedError
from polyglyph.analysis.evaluation.item import Item
from polyglyph.analysis.evaluation.log import Log, read_log
from polyglyph.analysis.evaluation.prompts import messages_of
from polyglyph.analysis.evaluation.reply import Question, check_echo
from polyglyph.analysis.evaluation.sender import Sender, StoppedError
from polyglyph.analysis.evaluation.whole_file import write_whole
from polyglyph.clients.errors import AnswerError, UnwritableFileError
from polyglyph.clients.profile.stop import Stop

if TYPE_CHECKING:
    import polars as pl

RANKINGS, RANKS = "rankings.jsonl", "ranks.parquet"
Place = dict[str, Any] | None
"""Log-probabilities by token id at one place of a prompt; None at its beginning."""
KINDS = frozenset({ArmKind.NONE, ArmKind.PLAN})


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The scores of one item's candidates.

    Attributes:
        item: Id of the item.
        arm: `none-direct` or `plan-direct`.
        sample: 0.
        scores: Of the candidates, in their order: mean log-probability per token, natural log.
    """

    item: str
    arm: str
    sample: int
    scores: tuple[float, ...]


class Ranker:
    """Scores candidates.

    Args:
        asking: What requests have in common.
        sender: Sends them.
        stop: How the ranking is ended early.
        fingerprints: By arm and pair, what a steered answer must report.
    """

    def __init__(
        self,
        asking: Asking,
        sender: Sender,
        stop: Stop,
        *,
        fingerprints: Mapping[str, Mapping[tuple[str, str], str]],
    ) -> None:
        self._asking, self._sender, self._stop, self._fingerprints = asking, sender, stop, fingerprints
        self._tokens: dict[str, list[int]] = {}

    async def rank(
        self,
        items: Sequence[Item],
        arms: Iterable[Arm],
        folder: Path,
        *,
        concurrency: int,
        watch: Callable[[int, int], None] | None = None,
    ) -> bool:
        """Score the candidates of items without steering and by their plan; gives whether all are done.

        Args:
            items: With candidates.
            arms: Of the run; `none` and `plan`, thinking or not, are taken, once each.
            folder: Of the run; gets `rankings.jsonl`, which is gone on with.
            concurrency: Requests in flight at once; each holds all candidates of an item.
            watch: Called with the rankings there are and those that are due.
        """
        chosen = {arm.kind: arm for arm in arms if arm.kind in KINDS}
        with Log(folder / RANKINGS, Ranking) as log:
            due = [
                (item, arm)
                for arm in chosen.values()
                for item in items
                if arm.kind is ArmKind.NONE or item.pair in arm.steering
            ]
            waiting = iter([(item, arm) for item, arm in due if (item.id, label_of(arm), 0) not in log.done])

            async def work() -> None:
                for item, arm in waiting:
                    if self._stop.asked.is_set():
                        return
                    try:
                        ranking = await self._ranking(item, arm)
                    except StoppedError:
                        return
                    log.append(ranking)
                    if watch:
                        watch(len(log.done), len(due))

            await asyncio.gather(*(work() for _ in range(concurrency)))
            return len(log.done) == len(due)

    async def _ranking(self, item: Item, arm: Arm) -> Ranking:
        steering = arm.steering.get(item.pair)
        before = await self._tokenize(
            {
                **self._asking.header.direct,
                "messages": messages_of(item, self._asking.header.prompts),
                "add_generation_prompt": True,
            }
        )
        behind = [await self._tokens_of(candidate) for candidate in item.candidates]
        body = {
            "model": self._asking.model,
            "prompt": [before + tokens for tokens in behind],
            "max_tokens": 1,
            "temperature": 0.0,
            "prompt_logprobs": 0,
            "steering": False if steering is None else steering,
        }
        call = Question(method="POST", path="/v1/completions", read=_read_prompts, body=body)
        (places, echo), _ = await self._sender.ask(call)
        fingerprint = "" if steering is None else self._fingerprints[arm.name][item.pair]
        check_echo(echo, fingerprint, float((steering or {}).get("strength", 1.0)))
        if [len(row) for row in places] != [len(before) + len(tokens) for tokens in behind]:
            raise AnswerError(f"item {item.id!r}: expected a log-probability of every prompt token")
        scores = tuple(
            _mean([_own(place, token) for place, token in zip(row[len(before) :], tokens, strict=True)], item)
            for row, tokens in zip(places, behind, strict=True)
        )
        return Ranking(item=item.id, arm=label_of(arm), sample=0, scores=scores)

    async def _tokens_of(self, text: str) -> list[int]:
        if text not in self._tokens:
            self._tokens[text] = await self._tokenize({"prompt": text, "add_special_tokens": False})
        return self._tokens[text]

    async def _tokenize(self, body: dict[str, Any]) -> list[int]:
        body = {"model": self._asking.model, **body}
        call = Question(method="POST", path="/tokenize", read=_read_tokens, body=body)
        tokens, _ = await self._sender.ask(call)
        return tokens


def label_of(arm: Arm) -> str:
    """Give the name that an arm's rankings go by: they are of the direct mode, whatever the arm's is."""
    return f"{arm.kind.value}-direct"


def rankable(items: Sequence[Item], *, num_facts: int, seed: int) -> tuple[Item, ...]:
    """Give the items of some facts whose candidates can be ranked in several scripts.

    Args:
        items: What a run asks.
        num_facts: At most.
        seed: Draws the facts.
    """
    by_fact: dict[str, list[Item]] = {}
    for item in items:
        if len(item.candidates) > 1:
            by_fact.setdefault(item.fact, []).append(item)
    several = [fact for fact, asked in by_fact.items() if len(asked) > 1]
    drawn = sorted(several, key=lambda fact: sha256(f"rank {seed} {fact}".encode()).digest())[:num_facts]
    return tuple(item for fact in drawn for item in by_fact[fact])


def read_rankings(folder: Path) -> "pl.DataFrame | None":
    """Read a run's rankings: item, arm and ranking (indices of candidates, the best first); None where there are none.

    Where a plan has none of an item, `none` has it.
    """
    import polars as pl

    path = folder / RANKINGS
    if not path.exists():
        return None
    found = {(row.arm, row.item): _order(row.scores) for row in read_log(path, Ranking)}
    arms = {arm for arm, _ in found}
    shared = {(arm, item): order for arm in arms for (_, item), order in found.items() if (arm, item) not in found}
    rows = [(item, arm, order) for (arm, item), order in sorted((shared | found).items())]
    schema = {"item": pl.String, "arm": pl.String, "ranking": pl.List(pl.Int64)}
    return pl.DataFrame(rows, schema=schema, orient="row")


def write_ranks(folder: Path) -> None:
    """Write a run's rankings as `ranks.parquet`, where there are some, whole or not at all.

    Raises:
        UnwritableFileError: It cannot be written.
    """
    ranks = read_rankings(folder)
    if ranks is None:
        return
    data = io.BytesIO()
    ranks.write_parquet(data)
    path = folder / RANKS
    try:
        write_whole(path, data.getvalue())
    except OSError as error:
        raise UnwritableFileError(f"{path} cannot be written: {error.strerror or error}") from error


def _order(scores: Sequence[float]) -> list[int]:
    return sorted(range(len(scores)), key=lambda index: (-scores[index], index))


def _mean(logprobs: Sequence[float | None], item: Item) -> float:
    found = [value for value in logprobs if value is not None and math.isfinite(value)]
    if not found or len(found) != len(logprobs):
        raise EvaluationFailedError(f"item {item.id!r}: a candidate has no finite log-probability")
    return sum(found) / len(found)


def _read_tokens(answer: str) -> list[int]:
    try:
        return [int(token) for token in json.loads(answer)["tokens"]]
    except (ValueError, LookupError, TypeError) as error:
        raise AnswerError(f"expected token ids, got {answer[:120]!r}") from error


def _read_prompts(answer: str) -> tuple[list[list[Place]], dict[str, Any] | None]:
    """Give what stands at each token of each prompt, and the response's `steering` field."""
    try:
        document = json.loads(answer)
        choices = sorted(document["choices"], key=lambda choice: choice["index"])
        return [list(choice["prompt_logprobs"]) for choice in choices], document.get("steering")
    except (ValueError, LookupError, TypeError) as error:
        raise AnswerError(f"expected completions with prompt_logprobs, got {answer[:120]!r}") from error


def _own(place: Place, token: int) -> float | None:
    """Give the log-probability of the prompt's own token, beside which there may be likelier ones."""
    found = None if place is None else place.get(str(token))
    return None if found is None else float(found["logprob"])
