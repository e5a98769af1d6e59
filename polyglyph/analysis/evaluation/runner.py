"""Runs the jobs of an evaluation against a server, many at once, and writes every answer down."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polyglyph.analysis.evaluation.answer import Answer
from polyglyph.analysis.evaluation.arms import ANY_PAIR, POLICY
from polyglyph.analysis.evaluation.asking import Asking
from polyglyph.analysis.evaluation.guessing import Guessing
from polyglyph.analysis.evaluation.job import Job
from polyglyph.analysis.evaluation.log import Log
from polyglyph.analysis.evaluation.reply import Reply
from polyglyph.analysis.evaluation.sender import Sender, StoppedError
from polyglyph.clients.profile.stop import Stop
from polyglyph.contract.errors import PolyglyphError

Fingerprints = Mapping[str, Mapping[tuple[str, str], str]]


@dataclass(frozen=True)
class Steered:
    """What one job sends.

    Attributes:
        field: The `steering` field; None for none.
        fingerprint: What the server must answer it with; None where the server chooses.
        guessed: Source script that the arm's rule guessed.
    """

    field: Any = None
    fingerprint: str | None = ""
    guessed: str | None = None

    @property
    def strength(self) -> float:
        """Of the steering, 0 for none."""
        return float(self.field.get("strength", 1.0)) if isinstance(self.field, dict) else 0.0


class Runner:
    """Runs jobs.

    Args:
        asking: Makes their requests.
        sender: Sends them.
        guessing: Asks the rules of `auto` arms.
        log: Where answers go.
        fingerprints: By arm and pair, what a steered answer must report.
        stop: How the run is ended early.
        watch: Called with the number of answers in the log whenever there is one more.

    Attributes:
        was_cut: The run ended before all jobs were done.
    """

    def __init__(
        self,
        asking: Asking,
        sender: Sender,
        guessing: Guessing,
        log: Log[Answer],
        *,
        fingerprints: Fingerprints,
        stop: Stop,
        watch: Callable[[int], None] | None = None,
    ) -> None:
        self.was_cut = False
        self._asking, self._sender, self._guessing, self._log = asking, sender, guessing, log
        self._fingerprints, self._stop = fingerprints, stop
        self._watch = watch or (lambda _number: None)
        self._failure: BaseException | None = None

    async def run(self, jobs: Sequence[Job], *, concurrency: int) -> None:
        """Do the jobs that are not in the log yet.

        What is in flight when the run is stopped, or cannot go on, is finished and written down.

        Raises:
            PolyglyphError: The run could not go on; it goes on where it was when the same jobs are run again.
        """
        waiting = iter([job for job in jobs if job.key not in self._log.done])
        workers = [asyncio.create_task(self._work(waiting)) for _ in range(concurrency)]
        abandoning = asyncio.create_task(self._abandon(workers))
        try:
            await asyncio.gather(*workers, return_exceptions=True)
        finally:
            abandoning.cancel()
            for worker in workers:
                worker.cancel()
        if self._failure is not None:
            raise self._failure
        self.was_cut = any(job.key not in self._log.done for job in jobs)

    async def _work(self, waiting: Iterable[Job]) -> None:
        for job in waiting:
            if self._stop.asked.is_set():
                return
            try:
                self._log.append(await self._answer(job))
            except StoppedError:
                return
            except PolyglyphError as error:
                self._fail(_about(job, error))
                return
            except Exception as error:
                # No error that is foreseen: the run ends with it instead of with an answer less.
                self._fail(error)
                raise
            self._watch(len(self._log.done))

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._stop.asked.set()

    async def _abandon(self, workers: Iterable["asyncio.Task[None]"]) -> None:
        await self._stop.repeated.wait()
        for worker in workers:
            worker.cancel()

    async def _answer(self, job: Job) -> Answer:
        steered = await self._steered(job)
        reply, seconds = await self._sender.send(self._asking.body(job, steered.field))
        if steered.fingerprint is not None:
            reply.check_steering(steered.fingerprint, steered.strength)
        return _answer_of(job, reply, steered, seconds)

    async def _steered(self, job: Job) -> Steered:
        """Choose what a job sends: by its item's own scripts, or by the one that the arm's rule guesses."""
        arm, (query, source) = job.arm, job.item.pair
        guessed = None
        if arm.rule == POLICY:
            return Steered(arm.steering[ANY_PAIR], None)
        if arm.rule is not None:
            guessed = await self._guessing.guess(arm.rule, job.item, is_thinking=arm.is_thinking)
            # A question in the script that it was learned in has nothing to carry.
            source = query if guessed is None else guessed
            if query == source:
                return Steered(guessed=guessed)
        pair = query, source
        if pair not in arm.steering:
            return Steered(guessed=guessed)
        return Steered(arm.steering[pair], self._fingerprints[arm.name][pair], guessed)


def _answer_of(job: Job, reply: Reply, steered: Steered, seconds: float) -> Answer:
    echo = reply.steering or {}
    is_steered = bool(echo.get("applied"))
    return Answer(
        item=job.item.id,
        arm=job.arm.name,
        sample=job.sample,
        text=reply.text,
        reasoning=reply.reasoning,
        finish_reason=reply.finish_reason,
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
        plan=str(echo.get("fingerprint") or "") if is_steered else "",
        strength=float(echo.get("strength") or 0.0) if is_steered else 0.0,
        guessed_source=steered.guessed if steered.guessed is not None else echo.get("guessed_source"),
        dose=float(echo.get("dose") or 0.0),
        tokens_steered=int(echo.get("tokens_steered") or 0),
        seconds=round(seconds, 6),
    )


def _about(job: Job, error: PolyglyphError) -> PolyglyphError:
    """Say which item an error came of, in the error's own kind."""
    error.args = (f"{error} (item {job.item.id!r}, arm {job.arm.name!r})", *error.args[1:])
    return error
