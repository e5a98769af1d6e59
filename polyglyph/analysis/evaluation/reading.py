"""Reads, makes and writes benchmarks: JSON lines, the header first."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from polyglyph.analysis.evaluation.benchmark import Benchmark, Header
from polyglyph.analysis.evaluation.errors import BenchmarkError
from polyglyph.analysis.evaluation.halves import draw_halves
from polyglyph.analysis.evaluation.item import Item
from polyglyph.analysis.evaluation.whole_file import write_whole
from polyglyph.contract.base import Document, as_request_error

DocumentT = TypeVar("DocumentT", bound=Document)

OWN_FIELDS = frozenset(
    {"messages", "model", "stream", "n", "steering", "routing", "seed", "temperature", "max_tokens", "top_p", "top_k"}
)
"""Fields of a request that the run sets; a benchmark's `thinking` and `direct` cannot."""


def read_benchmark(path: Path) -> Benchmark:
    """Read a benchmark file.

    Args:
        path: JSON lines in UTF-8: the header, then an item a line. Blank lines are none.

    Returns:
        The benchmark, every item with its half.

    Raises:
        BenchmarkError: The file cannot be read, or is not what it should be; the text names file and line.
    """
    lines = _lines(path)
    place, line = next(lines, ("", b""))
    if not place:
        raise BenchmarkError(f"{path}: empty; a benchmark is a header line and then an item a line")
    header = _read(Header, line, place)
    places: dict[str, str] = {}
    items = []
    for place, line in lines:
        item = _read(Item, line, place)
        if item.id in places:
            raise BenchmarkError(f"{place}: the id {item.id!r} is that of {places[item.id]} too")
        places[item.id] = place
        _check_answers(item, place)
        items.append(item)
    try:
        return make_benchmark(header, items)
    except BenchmarkError as error:
        raise BenchmarkError(f"{path}: {error}") from error


def make_benchmark(header: Header, items: Iterable[Item]) -> Benchmark:
    """Make a benchmark of items: draws the halves and the digest.

    Raises:
        BenchmarkError: There are no items, two have one id, an entity is in both halves, or the header sets what a
            run sets.
    """
    every = tuple(items)
    if not every:
        raise BenchmarkError("no items; a benchmark needs one at least")
    id_, count = Counter(item.id for item in every).most_common(1)[0]
    if count > 1:
        raise BenchmarkError(f"{count} items have the id {id_!r}; ids must be unique")
    for item in every:
        _check_answers(item, f"item {item.id!r}")
    for mode in ("thinking", "direct"):
        taken = sorted(OWN_FIELDS & getattr(header, mode).keys())
        if taken:
            raise BenchmarkError(f"{mode}.{taken[0]}: a run sets this field itself; leave it out of the header")
    drawn = draw_halves(every, seed=header.seed)
    return Benchmark(header=header, items=drawn, sha256=_digest(header, drawn))


def write_benchmark(benchmark: Benchmark, path: Path) -> None:
    """Write a benchmark file, whole or not at all; reading it gives an equal benchmark.

    Raises:
        BenchmarkError: The file cannot be written.
    """
    lines = "".join(line + "\n" for line in _written(benchmark.header, benchmark.items))
    try:
        write_whole(path, lines)
    except OSError as error:
        raise BenchmarkError(f"{path} cannot be written: {error.strerror or error}") from error


def _lines(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BenchmarkError(f"{path} cannot be read: {error.strerror or error}") from error
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if line.strip():
            yield f"{path}, line {number}", line


def _read(kind: type[DocumentT], line: bytes, place: str) -> DocumentT:
    try:
        text = line.decode()
        value = json.loads(text, object_pairs_hook=_named_once)
    except UnicodeDecodeError as error:
        raise BenchmarkError(f"{place}: not UTF-8: byte {error.start} is {line[error.start]:#04x}") from error
    except (ValueError, RecursionError) as error:
        raise BenchmarkError(f"{place}: expected a JSON object: {error}") from error
    if not isinstance(value, dict):
        raise BenchmarkError(f"{place}: expected a JSON object, got {type(value).__name__}")
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        what = kind.__name__.lower()
        raise BenchmarkError(f"{place}: {as_request_error(error, root=what)}") from error


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    name, count = Counter(name for name, _ in pairs).most_common(1)[0] if pairs else ("", 0)
    if count > 1:
        raise ValueError(f"the field {name!r} is named {count} times")
    return dict(pairs)


def _check_answers(item: Item, place: str) -> None:
    for name in ("answers", "source_answers", "candidates"):
        blank = [text for text in getattr(item, name) if not text.strip()]
        if blank:
            raise BenchmarkError(f"{place}: {name}: {blank[0]!r} is blank, so that an empty answer would be right")


def _digest(header: Header, items: Iterable[Item]) -> str:
    total = sha256()
    for line in _written(header, items):
        total.update(line.encode() + b"\n")
    return total.hexdigest()


def _written(header: Header, items: Iterable[Item]) -> Iterator[str]:
    for document in (header, *items):
        values = document.model_dump(mode="json", by_alias=True, exclude_none=True)
        yield json.dumps(values, ensure_ascii=False)
