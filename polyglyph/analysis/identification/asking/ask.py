"""Asks prompts of a server, many at once, and keeps every answer with its trace and its labels."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from polyglyph.analysis.evaluation.run_record import versions_of
from polyglyph.analysis.evaluation.sender import Sender, StoppedError
from polyglyph.analysis.identification.asking.prompt import Prompt
from polyglyph.analysis.identification.asking.question import AskingOptions, Labelled, labelled, question_of
from polyglyph.analysis.identification.asking.run_folder import RunFolder
from polyglyph.clients.profile.asking import first_model
from polyglyph.clients.profile.stop import Stop
from polyglyph.contract.base import digest
from polyglyph.contract.errors import PolyglyphError
from polyglyph.contract.model import ModelDescription
from polyglyph.contract.trace import TraceHeader

if TYPE_CHECKING:
    from polyglyph.clients.answers import LoadedModel
    from polyglyph.clients.async_client import AsyncPolyglyph

PATIENCE_S = 120.0
NUM_KEPT = 64
"""Answers that are written together: what a killed run loses at most."""

Watch = Callable[[int, int], None]


async def ask_prompts(
    client: "AsyncPolyglyph",
    prompts: Sequence[Prompt],
    folder: Path,
    options: AskingOptions | None = None,
    *,
    concurrency: int = 32,
    stop: Stop | None = None,
    watch: Watch | None = None,
) -> bool:
    """Ask prompts, and write the folder of a labelled run.

    Args:
        client: The server.
        prompts: Each with an id of its own.
        folder: New, empty, or of the same run, which goes on: what is answered is not asked again.
        options: How they are asked and labelled.
        concurrency: Requests in flight at once.
        stop: Ends the run early; what was answered is kept.
        watch: Called with the answers there are and those that are due.

    Returns:
        Whether every prompt is answered; if not, the same call goes on.

    Raises:
        IdentificationError: The folder holds something else.
        ServerUnreachableError: Nothing answered for two minutes; the run can go on.
        PolyglyphError: The server refuses a prompt, which the text names, or failed.
    """
    options, stop = options or AskingOptions(), stop or Stop()
    model = await client.model()
    run = RunFolder(
        folder,
        {"prompts_sha256": _digest_of(prompts), "options": options.to_json()},
        ModelDescription(binding=model.binding, routers=model.routers),
        _header_of(model),
    )
    asker = _Asker(client, run, options, await client.send(first_model()), stop=stop)
    waiting = iter([prompt for prompt in prompts if prompt.id not in run.done])
    await asker.ask(waiting, concurrency=concurrency, watch=lambda done: watch(done, len(prompts)) if watch else None)
    is_whole = len(run.done) == len(prompts)
    if is_whole:
        run.finish([prompt.id for prompt in prompts])
    return is_whole


class _Asker:
    """Asks what is left of a run; a failure ends it, and what is answered by then is kept."""

    def __init__(
        self, client: "AsyncPolyglyph", run: RunFolder, options: AskingOptions, model: str, *, stop: Stop
    ) -> None:
        self._run, self._options, self._model, self._stop = run, options, model, stop
        self._sender = Sender(client, stop, patience_s=PATIENCE_S)
        self._answers: list[Labelled] = []
        self._failure: BaseException | None = None

    async def ask(self, waiting: Iterator[Prompt], *, concurrency: int, watch: Callable[[int], None]) -> None:
        workers = [asyncio.create_task(self._work(waiting, watch)) for _ in range(concurrency)]
        abandoning = asyncio.create_task(self._abandon(workers))
        try:
            await asyncio.gather(*workers, return_exceptions=True)
        finally:
            abandoning.cancel()
            for worker in workers:
                worker.cancel()
            self._keep()
        if self._failure is not None:
            raise self._failure

    async def _work(self, waiting: Iterator[Prompt], watch: Callable[[int], None]) -> None:
        for prompt in waiting:
            if self._stop.asked.is_set():
                return
            try:
                await self._answer(prompt)
                watch(len(self._run.done) + len(self._answers))
            except StoppedError:
                return
            except PolyglyphError as error:
                error.args = (f"{error} (prompt {prompt.id!r})", *error.args[1:])
                self._fail(error)
                return
            except Exception as error:
                # No error that is foreseen: the run ends with it instead of with an answer less.
                self._fail(error)
                raise

    async def _answer(self, prompt: Prompt) -> None:
        reply, _ = await self._sender.ask(question_of(prompt, self._options, model=self._model))
        self._answers.append(labelled(prompt, reply, self._options))
        if len(self._answers) >= NUM_KEPT:
            self._keep()

    def _keep(self) -> None:
        answers, self._answers = self._answers, []
        self._run.add(answers)

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._stop.asked.set()

    async def _abandon(self, workers: "Sequence[asyncio.Task[None]]") -> None:
        await self._stop.repeated.wait()
        for worker in workers:
            worker.cancel()


def _header_of(model: "LoadedModel") -> TraceHeader:
    binding = model.binding
    return TraceHeader(
        model_fingerprint=binding.fingerprint,
        layers=binding.layers,
        experts=binding.experts,
        top_k=binding.top_k,
        versions={name: str(value) for name, value in versions_of(model)["server"].items()},
    )


def _digest_of(prompts: Sequence[Prompt]) -> str:
    return digest([prompt.model_dump(mode="json") for prompt in prompts])
