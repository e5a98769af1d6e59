"""Sends a corpus's documents, many at once, and keeps count of what became of each."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from itertools import islice

from polyglyph.clients.profile.corpus import Entry
from polyglyph.clients.profile.document import Document, Reason, Skip
from polyglyph.clients.profile.sender import FailedError, RefusedError, Sender, StoppedError, TooLongError
from polyglyph.clients.profile.state import State
from polyglyph.clients.profile.stop import Stop
from polyglyph.clients.profile.tally import Tally
from polyglyph.clients.profile.window import halve
from polyglyph.contract.errors import PolyglyphError

NUM_READ_AHEAD = 16
"""Rows to read at once, in a thread beside the requests."""


class Drive:
    """One pass over a corpus.

    Args:
        sender: What sends a request.
        state: Where finished documents are noted; None keeps no state.
        stop: How the pass is ended early.
        concurrency: Documents in flight at once.
        watch: Called whenever the count has changed.

    Attributes:
        tally: What became of the documents.
        failure: Why the pass could not go on.
        was_cut: The pass ended before the corpus did.
    """

    def __init__(
        self, sender: Sender, state: State | None, stop: Stop, *, concurrency: int, watch: Callable[[Tally], None]
    ) -> None:
        self.tally = Tally()
        self.failure: PolyglyphError | None = None
        self.was_cut = False
        self._sender, self._state, self._stop, self._watch = sender, state, stop, watch
        self._before = Counter(state.earlier.finished) if state else Counter[str]()
        self._slots = asyncio.Semaphore(concurrency)
        self._tasks: set[asyncio.Task[None]] = set()
        self._fault: BaseException | None = None

    async def run(self, entries: Iterable[Entry], *, limit: int | None = None) -> None:
        """Send the documents; returns when all are done, or when the pass was stopped or could not go on.

        Args:
            entries: The corpus.
            limit: Documents to take at most, from the corpus's beginning.
        """
        abandoning = asyncio.create_task(self._abandon_when_repeated())
        try:
            await self._begin_all(entries, limit)
            while self._tasks:
                await asyncio.wait(self._tasks)
            if self._fault is not None:
                raise self._fault
        finally:
            abandoning.cancel()
            self._abandon()
        if self._state is not None and not self.was_cut:
            self._state.end()

    async def _begin_all(self, entries: Iterable[Entry], limit: int | None) -> None:
        num_documents = 0
        async for entry in _in_thread(entries):
            if isinstance(entry.found, Document) and num_documents == limit:
                return
            num_documents += isinstance(entry.found, Document)
            if not await self._begin(entry):
                self.was_cut = True
                return
            self._watch(self.tally)

    async def _begin(self, entry: Entry) -> bool:
        """Begin one document as soon as there is room; gives whether the pass goes on."""
        if self._stop.asked.is_set():
            return False
        self.tally.end = entry.end
        if isinstance(entry.found, Skip):
            self.tally.skip(entry.found)
            return True
        if self._before[entry.found.key] > 0:
            self._before[entry.found.key] -= 1
            self.tally.num_finished_before += 1
            return True
        await self._slots.acquire()
        if self._stop.asked.is_set():
            return False
        task = asyncio.create_task(self._finish(entry.found))
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return True

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            # No error that is foreseen: the run ends with it instead of with a document less.
            self._fault = task.exception()
            self._stop.asked.set()
        self._slots.release()
        self._watch(self.tally)

    async def _finish(self, document: Document) -> None:
        """Send one document; what goes wrong ends up in the tally, or ends the pass."""
        try:
            if self._state is not None:
                self._state.begin(document.key)
            num_tokens = await self._send(document, document.text)
            self._note(document, num_tokens)
        except StoppedError:
            self.was_cut = True
        except PolyglyphError as error:
            self.failure = self.failure or error
            self.was_cut = True
            self._stop.asked.set()

    def _note(self, document: Document, num_tokens: int) -> None:
        self.tally.num_finished += num_tokens > 0
        if self._state is None:
            return
        if num_tokens:
            self._state.finish(document.key, prompt_tokens=num_tokens)
        else:
            self._state.refuse(document.key)

    async def _send(self, document: Document, text: str | None) -> int:
        """Send a document, or a part of it, cut as often as it takes; gives the prompt tokens that were counted."""
        is_window = text != document.text
        try:
            usage = await self._sender.send(document, text)
        except TooLongError as error:
            return await self._send_halves(document, text, error)
        except RefusedError as error:
            return self._pass_over(document, Reason.REFUSED, error)
        except FailedError as error:
            return self._pass_over(document, Reason.FAILED, error)
        self.tally.count(document, usage)
        self.tally.num_windows += is_window
        return usage.prompt_tokens

    async def _send_halves(self, document: Document, text: str | None, error: TooLongError) -> int:
        halves = None if text is None else halve(text)
        if halves is None:
            return self._pass_over(document, Reason.TOO_LONG, error)
        self.tally.num_cut += text == document.text
        # Both are waited for, so that nothing goes on behind the pass's back.
        outcomes = await asyncio.gather(*(self._send(document, half) for half in halves), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return sum(outcome for outcome in outcomes if isinstance(outcome, int))

    def _pass_over(self, document: Document, reason: Reason, error: PolyglyphError) -> int:
        self.tally.skip(Skip(document.place, reason, str(error)))
        return 0

    async def _abandon_when_repeated(self) -> None:
        await self._stop.repeated.wait()
        self._abandon()

    def _abandon(self) -> None:
        for task in self._tasks:
            self.was_cut = True
            task.cancel()


async def _in_thread(entries: Iterable[Entry]) -> AsyncIterator[Entry]:
    """Read rows in a thread, some at a time, so that a slow disk does not hold up the requests."""
    iterator = iter(entries)
    while rows := await asyncio.to_thread(lambda: list(islice(iterator, NUM_READ_AHEAD))):
        for row in rows:
            yield row
