"""Profiling: the stats of a corpus whose text the model knows in every script, made through the server itself."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from polyglyph.analysis.search.errors import SearchError
from polyglyph.clients.profile import profile

if TYPE_CHECKING:
    from polyglyph.clients.async_client import AsyncPolyglyph

TAG = "polyglyph-search"
STATS_NAME = "profile.parquet"
ORGANISM, NAMES = "organism", "names"
CONCURRENCY = 32
"""Documents in flight at once."""


@contextmanager
def corpus_of(name: str, *, model: Path | None, tag: str) -> Iterator[Path]:
    """Give a corpus' path; one of our own is made for the length of the block.

    Args:
        name: A path, or `organism` for the one of the model, `organism:DIR` for another organism's world, `names` or
            `names:SEED` for real names.
        model: Directory of the model that is asked, where known.
        tag: Of the made corpus' documents.

    Raises:
        SearchError: There is no such corpus, or the model's directory is not known.
    """
    if Path(name).exists():
        yield Path(name)
        return
    with tempfile.TemporaryDirectory(prefix="polyglyph-") as folder:
        path = Path(folder) / "corpus.jsonl"
        _write_own(name, path, model=model, tag=tag)
        yield path


def _write_own(name: str, path: Path, *, model: Path | None, tag: str) -> None:
    word, _, rest = name.partition(":")
    if word == ORGANISM:
        from polyglyph.analysis.benchmarks.organism_corpus import write_corpus

        directory = Path(rest) if rest else model
        if directory is None:
            raise SearchError("--profile organism: name the directory of the organism that is served, as organism:DIR")
        write_corpus(directory, path, tag=tag)
    elif word == NAMES and (not rest or (rest.isascii() and rest.isdigit())):
        from polyglyph.analysis.benchmarks.names_corpus import write_names_corpus

        write_names_corpus(path, seed=int(rest or 0), tag=tag)
    else:
        raise SearchError(
            f"--profile: there is no corpus {name}; expected a path, organism, organism:DIR, names or names:SEED"
        )


async def profile_corpus(client: "AsyncPolyglyph", corpus: Path, target: Path, *, tag: str, max_tokens: int) -> None:
    """Drive a corpus through the server, and save the stats of its tag.

    Args:
        client: The server, with its admin key.
        corpus: A file or folder, as `polyglyph profile` takes it.
        target: Where the stats go; the ending names the format.
        tag: Of documents without one; those of another tag are not in the stats.
        max_tokens: Tokens to generate for chat messages; what is generated is counted but for the last token.

    Raises:
        SearchError: No document was sent.
        PolyglyphError: The corpus or the server cannot be used, or it closes its stats to this key.
    """
    # Refused before anything is sent: the admin key, and a server without stats.
    await client.stats(by="")
    report = await profile(client, corpus, tag=tag, max_tokens=max_tokens, keeps_state=False, concurrency=CONCURRENCY)
    if not report.num_documents:
        raise SearchError(f"{corpus}: no document of the corpus could be sent, so there are no stats to search by")
    await client.pull_stats(target, tag=tag)
