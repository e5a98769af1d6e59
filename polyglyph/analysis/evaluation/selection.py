"""Which of a benchmark's items a run asks."""

from hashlib import sha256
from typing import Literal

from polyglyph.analysis.evaluation.benchmark import Benchmark
from polyglyph.analysis.evaluation.errors import BenchmarkError
from polyglyph.analysis.evaluation.item import Item

Half = Literal["development", "test", "both"]


def chosen_items(benchmark: Benchmark, *, half: Half = "test", limit: int | None = None) -> tuple[Item, ...]:
    """Give the items of a half, up to a limit: whole entities, drawn by the benchmark's seed.

    Raises:
        BenchmarkError: There are none.
    """
    items = [item for item in benchmark.items if half in (item.half, "both")]
    if not items:
        raise BenchmarkError(f"the benchmark {benchmark.header.name!r} has no items in its half {half!r}")
    if limit is None or len(items) <= limit:
        return tuple(items)
    seed = benchmark.header.seed
    sizes: dict[str, int] = {}
    for item in items:
        sizes[item.entity] = sizes.get(item.entity, 0) + 1
    kept: set[str] = set()
    num_kept = 0
    for entity in sorted(sizes, key=lambda entity: sha256(f"limit {seed} {entity}".encode()).digest()):
        if num_kept + sizes[entity] <= limit:
            kept.add(entity)
            num_kept += sizes[entity]
    if not kept:
        raise BenchmarkError(f"--limit {limit}: every entity has more items than that")
    return tuple(item for item in items if item.entity in kept)
