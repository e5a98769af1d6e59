"""The store: how long a flush of 100 groups and a read of 4096 take, in SQLite and in PostgreSQL.

`python -m benchmarks.store` starts a PostgreSQL of its own; `--store-url` measures yours, in a database made for it.
"""

import argparse
import json
import os
import platform
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import SecretStr

from polyglyph.contract.model import ModelBinding
from polyglyph.contract.sums import GroupKey, GroupSums, StatsQuery
from polyglyph.server.ledger import Ledger
from polyglyph.server.store.address import address_of
from polyglyph.server.store.store import open_store

SHAPES = ((6, 16), (48, 128))
NUM_FLUSHED, NUM_READ, ROUNDS = 100, 4096, 15
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    """Milliseconds for one store and one model shape: medians, and the slowest flush.

    Attributes:
        add_ms: Counting 100 groups in memory.
        flush_ms: Flushing 100 groups that changed.
        slowest_flush_ms: The slowest of those flushes.
        read_ms: Reading 4096 groups, each on its own.
        summed_ms: Reading them summed into one.
    """

    store: str
    layers: int
    experts: int
    add_ms: float
    flush_ms: float
    slowest_flush_ms: float
    read_ms: float
    summed_ms: float


def main() -> None:
    """Measure, print a table and keep it with its record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.store", description=__doc__)
    parser.add_argument("--store-url", help="a PostgreSQL database that may be filled (default: a fresh server)")
    parser.add_argument("--dry", action="store_true", help="keep no record")
    arguments = parser.parse_args()
    rows = [measure("SQLite", shape, url=None) for shape in SHAPES]
    with postgresql(arguments.store_url) as url:
        rows += [measure("PostgreSQL", shape, url=url) for shape in SHAPES]
    table = to_markdown(rows)
    print(table)
    if not arguments.dry:
        (RESULTS / "store.json").write_text(json.dumps(describe(rows), indent=1) + "\n")
        (RESULTS / "store.md").write_text(table)


@contextmanager
def postgresql(url: str | None) -> Iterator[SecretStr]:
    """Give the URL of the database that is measured."""
    if url is not None:
        yield SecretStr(url)
        return
    import pgserver

    with tempfile.TemporaryDirectory() as folder:
        server = pgserver.get_server(folder, cleanup_mode="stop")
        yield SecretStr(server.get_uri())
        server.cleanup()


def measure(name: str, shape: tuple[int, int], *, url: SecretStr | None) -> Row:
    """Measure one store and one shape [layers, experts]."""
    layers, experts = shape
    model = ModelBinding(
        architecture="Benchmark",
        layers=layers,
        experts=experts,
        top_k=2,
        fingerprint="sha256:" + f"{layers:032x}{experts:032x}",
    )
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(address_of(data_dir=Path(folder), store_url=url))
        ledger = Ledger(store, model, versions={}, max_groups=2 * NUM_READ)
        groups = [make_group(number, shape) for number in range(NUM_READ)]
        adds, flushes = [], []
        for _ in range(ROUNDS):
            adds.append(timed(lambda: ledger.add(groups[:NUM_FLUSHED])))
            flushes.append(timed(ledger.flush))
        ledger.add(groups)
        ledger.flush()
        reads = [timed(lambda: read(ledger, StatsQuery())) for _ in range(3)]
        sums = [timed(lambda: read(ledger, StatsQuery(by=()))) for _ in range(3)]
        ledger.reset()
        store.close()
    # The first flush begins the epoch and makes the rows; it stands in the slowest.
    return Row(
        name,
        layers,
        experts,
        statistics.median(adds),
        statistics.median(flushes),
        max(flushes),
        statistics.median(reads),
        statistics.median(sums),
    )


def make_group(number: int, shape: tuple[int, int]) -> GroupSums:
    """Give sums that are as hard to compress as real ones."""
    draw = np.random.default_rng(number)
    key = GroupKey("Latn", "Cyrl", "prompt", "", f"t{number:05}")
    selected_LE = draw.integers(0, 100_000, shape)
    return GroupSums(
        key=key, tokens=10, cached_tokens=0, selected_LE=selected_LE, weight_sum_LE=selected_LE * draw.random(shape)
    )


def read(ledger: Ledger, query: StatsQuery) -> None:
    """Read and forget."""
    with ledger.read(query) as snapshot:
        for _ in snapshot.groups:
            pass


def timed(work: Callable[[], None]) -> float:
    """Give the milliseconds that some work takes."""
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def to_markdown(rows: list[Row]) -> str:
    """Write the rows as a table."""
    done = (f"count {NUM_FLUSHED} groups", f"flush {NUM_FLUSHED} groups", "slowest flush", f"read {NUM_READ} groups")
    lines = [f"| store | layers x experts | {' | '.join(done)} | read them summed |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        figures = (row.add_ms, row.flush_ms, row.slowest_flush_ms, row.read_ms, row.summed_ms)
        shown = " | ".join(f"{figure:.1f} ms" if figure < 100 else f"{figure:.0f} ms" for figure in figures)
        lines.append(f"| {row.store} | {row.layers} x {row.experts} | {shown} |")
    return "\n".join(lines) + "\n"


def describe(rows: list[Row]) -> dict[str, Any]:
    """Give the record: what was measured, with what, on what."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "rounds": ROUNDS,
        "rows": [asdict(row) for row in rows],
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "versions": {
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            **{name: version(name) for name in ("polyglyph", "sqlalchemy", "psycopg", "numpy")},
        },
    }


if __name__ == "__main__":
    main()
