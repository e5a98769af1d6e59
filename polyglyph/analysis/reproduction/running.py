"""Runs reproductions against a server, one after the other, and writes the record of each when it is done."""

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyglyph import bundled_plans
from polyglyph.analysis.benchmarks.organism import organism_benchmark
from polyglyph.analysis.evaluation.fields import Steerable
from polyglyph.analysis.evaluation.plan_set import SUFFIX
from polyglyph.analysis.evaluation.run_record import hardware, now, versions_of
from polyglyph.analysis.evaluation.whole_file import write_whole
from polyglyph.analysis.reproduction.answering import Answering
from polyglyph.analysis.reproduction.errors import ReproductionError
from polyglyph.analysis.reproduction.laboratory import Laboratory
from polyglyph.analysis.reproduction.questions import Questions
from polyglyph.analysis.reproduction.record import record_of
from polyglyph.analysis.reproduction.registry import reproduction
from polyglyph.clients.errors import UnwritableFileError
from polyglyph.clients.profile.asking import first_model
from polyglyph.contract.model import ModelDescription
from polyglyph.contract.plan import load_plan

if TYPE_CHECKING:
    from polyglyph.clients.answers import LoadedModel
    from polyglyph.clients.async_client import AsyncPolyglyph


@dataclass(frozen=True, kw_only=True)
class Options:
    """How reproductions are run.

    Attributes:
        items: Questions per task that an arm is asked at most, twice as many away from home.
        draws: Random controls of each kind.
        seed: Of questions, resamples and draws.
        concurrency: Requests in flight at once.
    """

    items: int = 160
    draws: int = 5
    seed: int = 0
    concurrency: int = 64

    def to_json(self) -> dict[str, Any]:
        """Give what a record says of them."""
        return {"items": self.items, "draws": self.draws, "seed": self.seed}


async def run_all(
    client: "AsyncPolyglyph",
    names: Sequence[str],
    folder: Path,
    options: Options,
    *,
    model: Path,
    watch: Callable[[str, int], None],
    done: Callable[[dict[str, Any]], None],
) -> list[dict[str, Any]]:
    """Run reproductions; labelled runs and answers are shared between them.

    Args:
        client: A server of the organism.
        names: Which.
        folder: Where records are written, `NAME.json`.
        options: How.
        model: The organism's directory.
        watch: Called with the name and the number of requests so far.
        done: Called with each record.

    Raises:
        ReproductionError: The server serves another model than the organism.
        PolyglyphError: The server cannot be asked, or refuses.
    """
    loaded = await client.model()
    _check_model(loaded, model)
    current = ""

    def count(number: int) -> None:
        watch(current, number)

    answering = Answering(
        client,
        Steerable(model=loaded),
        model=await client.send(first_model()),
        concurrency=options.concurrency,
        watch=count,
    )
    records = []
    with tempfile.TemporaryDirectory(prefix="polyglyph-") as runs:
        laboratory = Laboratory(
            client=client,
            described=ModelDescription(binding=loaded.binding, routers=loaded.routers),
            answering=answering,
            questions=Questions(organism_benchmark(model), limit=options.items, seed=options.seed),
            folder=Path(runs),
            model=model,
            draws=options.draws,
            concurrency=options.concurrency,
            seed=options.seed,
        )
        for name in names:
            current, begun, before = name, time.monotonic(), answering.num_asked
            reproduced = await reproduction(name)(laboratory)
            facts = _facts(loaded, options) | {
                "seconds": round(time.monotonic() - begun, 1),
                "requests": answering.num_asked - before,
            }
            record = record_of(name, reproduced, facts)
            _write(record, folder / f"{name}.json")
            records.append(record)
            done(record)
    return records


def check_folder(folder: Path, names: Sequence[str]) -> None:
    """Refuse a folder in which a record would be overwritten.

    Raises:
        ReproductionError: Names the record that is there.
    """
    if folder.is_file():
        raise ReproductionError(f"--output: {folder} is a file; name a folder")
    there = [name for name in names if (folder / f"{name}.json").exists()]
    if there:
        raise ReproductionError(
            f"--output: {folder} holds {there[0]}.json already; name another folder, or move it away"
        )


def _check_model(loaded: "LoadedModel", model: Path) -> None:
    from polyglyph.analysis.offline.offline_model import load_offline

    plan = next(bundled_plans().glob(f"*{SUFFIX}"))
    if loaded.binding == load_plan(plan).model:
        return
    expected = load_offline(model, device="cpu").binding
    if loaded.binding != expected:
        raise ReproductionError(
            f"expected a server of the organism in {model} ({expected.fingerprint}), got one of "
            f"{loaded.binding.architecture} ({loaded.binding.fingerprint}): leave out --url, or name its server"
        )


def _facts(loaded: "LoadedModel", options: Options) -> dict[str, Any]:
    return {
        "created": now(),
        **options.to_json(),
        "model": loaded.binding.model_dump(mode="json"),
        "versions": versions_of(loaded),
        "hardware": hardware(),
    }


def _write(record: dict[str, Any], path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(record, ensure_ascii=False, indent=1) + "\n")
    except OSError as error:
        raise UnwritableFileError(f"{path} cannot be written: {error.strerror or error}") from error
