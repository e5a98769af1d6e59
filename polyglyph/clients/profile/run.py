"""`profile`: drives a corpus through a server, and reports on it."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyglyph.clients.profile.asking import Asking, first_model
from polyglyph.clients.profile.corpus import Corpus, open_corpus
from polyglyph.clients.profile.drive import Drive
from polyglyph.clients.profile.report import Ending, ProfileReport
from polyglyph.clients.profile.sender import Sender
from polyglyph.clients.profile.server_sums import ServerSums
from polyglyph.clients.profile.state import default_state_path, open_state
from polyglyph.clients.profile.stop import Stop
from polyglyph.clients.profile.tally import Tally
from polyglyph.clients.profile.text_file import Split
from polyglyph.contract.errors import ConflictError, PolyglyphError
from polyglyph.contract.routing import parse_routing
from polyglyph.contract.steering import parse_steering

if TYPE_CHECKING:
    from polyglyph.clients.answers import LoadedModel
    from polyglyph.clients.async_client import AsyncPolyglyph

DEFAULT_PATIENCE_S = 300.0


class ProfileFailedError(PolyglyphError):
    """A run that could not go on; its cause says why.

    Attributes:
        report: What was done until then.
    """

    def __init__(self, report: ProfileReport) -> None:
        super().__init__(f"the run ended early: {report.failure}")
        self.report = report


async def profile(
    client: "AsyncPolyglyph",
    corpus: Path | str,
    *,
    tag: str = "",
    split: Split = Split.NONE,
    steering: Any = None,
    max_tokens: int = 1,
    shares_prefixes: bool = False,
    concurrency: int = 16,
    limit: int | None = None,
    patience_s: float = DEFAULT_PATIENCE_S,
    keeps_state: bool = True,
    state: Path | None = None,
    resumes: bool = False,
    stop: Stop | None = None,
    watch: Callable[[Tally, Corpus], None] | None = None,
) -> ProfileReport:
    """Send every document of a corpus to a server, so that its tokens are in the server's sums.

    Args:
        client: The server; with the admin key, its sums are compared with its answers.
        corpus: A file or folder: `.txt`, `.jsonl`, `.ndjson`, `.parquet` or `.csv`, with a column `text` or
            `messages`, and `tag` and `id` if wanted.
        tag: Label of the tokens of documents without one of their own.
        split: What a document of a text file is.
        steering: The `steering` field of every request; None leaves it to the server's default.
        max_tokens: Tokens to generate for chat messages, at least 1. Texts are only read.
        shares_prefixes: Let the server's prefix cache serve what documents have in common: less work, and those
            tokens are counted as cached. Otherwise every token is computed and counted.
        concurrency: Documents in flight at once.
        limit: Documents to take at most.
        patience_s: How long to go on trying, in seconds, while nothing answers.
        keeps_state: Note finished documents in a file, so that the run can go on after it was cut off.
        state: That file (default: one in the user's state folder, named after these settings).
        resumes: Go on with the run that the file is of: what it has finished is not sent again.
        stop: Ends the run early.
        watch: Called whenever the count has changed.

    Raises:
        RequestError: The corpus, the tag, the steering field or the state is not what it should be.
        ProfileFailedError: The run could not go on; it carries the report.
        PolyglyphError: The server cannot be used.
    """
    documents = open_corpus(Path(corpus), split=split, tag=tag)
    model = await client.model()
    _check(model, tag=tag, steering=steering)
    asking = Asking(
        model=await client.send(first_model()),
        steering=steering,
        max_tokens=max_tokens,
        shares_prefixes=shares_prefixes,
        max_body_bytes=model.settings.max_body_bytes,
    )
    settings = _settings(documents, asking, model)
    stop = stop or Stop()
    with (
        open_state(state or default_state_path(settings), settings, resumes=resumes) if keeps_state else nullcontext()
    ) as noted:
        sums = await ServerSums.read(client)
        sender = Sender(client, asking, stop, concurrency=concurrency, patience_s=patience_s)
        drive = Drive(sender, noted, stop, concurrency=concurrency, watch=_watching(watch, documents))
        started = time.monotonic()
        await drive.run(documents, limit=limit)
        duration_s = time.monotonic() - started
        reconciliations = await sums.reconcile(
            drive.tally.usage,
            selections_per_token=model.binding.layers * model.binding.top_k,
            is_unsure=sender.num_unsure > 0,
        )
    report = ProfileReport(
        **_read(documents),
        **_done(drive),
        num_set_aside=noted.set_aside.finished.total() if noted else 0,
        num_maybe_twice=sender.num_unsure + (noted.earlier.num_open if noted else 0),
        duration_s=duration_s,
        reconciliations=reconciliations,
        unreconciled=sums.closed or ("" if reconciliations else "nothing was sent"),
    )
    if drive.failure is not None:
        raise ProfileFailedError(report) from drive.failure
    return report


def _check(model: "LoadedModel", *, tag: str, steering: Any) -> None:
    parse_routing({"tag": tag}, num_layers=model.binding.layers)
    if steering is not None:
        parse_steering(steering)
    if not model.settings.stats:
        raise ConflictError("this server keeps no stats, so that a profile would leave nothing: start it with --stats")


def _settings(corpus: Corpus, asking: Asking, model: "LoadedModel") -> dict[str, Any]:
    """Give what must be the same for a run to go on."""
    return {
        "corpus": str(corpus.path.resolve()),
        "split": corpus.split.value,
        "tag": corpus.tag,
        "model": model.binding.fingerprint,
        "steering": asking.steering,
        "max_tokens": asking.max_tokens,
        "prefix_cache": asking.shares_prefixes,
    }


def _watching(watch: Callable[[Tally, Corpus], None] | None, corpus: Corpus) -> Callable[[Tally], None]:
    return (lambda tally: watch(tally, corpus)) if watch else (lambda _tally: None)


def _read(corpus: Corpus) -> dict[str, Any]:
    return {
        "corpus": str(corpus.path),
        "num_files": len(corpus.files),
        "num_ignored_files": corpus.num_ignored,
    }


def _done(drive: Drive) -> dict[str, Any]:
    tally = drive.tally
    return {
        "ending": Ending.FAILED if drive.failure else Ending.INTERRUPTED if drive.was_cut else Ending.FINISHED,
        "failure": str(drive.failure or ""),
        "num_documents": tally.num_finished,
        "num_documents_before": tally.num_finished_before,
        "num_cut_documents": tally.num_cut,
        "num_windows": tally.num_windows,
        "usage": dict(tally.usage),
        "skipped": dict(tally.skipped),
        "examples": dict(tally.examples),
    }
