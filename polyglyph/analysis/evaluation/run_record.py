"""What a run is, `run.json`: written before anything is asked, and compared when the run goes on."""

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError

from polyglyph import __version__
from polyglyph.analysis.evaluation.arm import Arm
from polyglyph.analysis.evaluation.errors import RunFolderError
from polyglyph.analysis.evaluation.selection import Half
from polyglyph.analysis.evaluation.whole_file import write_whole
from polyglyph.clients.answers import LoadedModel
from polyglyph.clients.errors import UnwritableFileError
from polyglyph.contract.base import Document
from polyglyph.contract.model import ModelBinding

FILE_NAME = "run.json"

LATER = frozenset({"created", "hardware", "engine"})
"""What may differ when a run goes on: it is written down as it was at the beginning."""
Frequencies = tuple[tuple[float, ...], ...]


class SteeringRecord(Document):
    """What an arm sends for one pair of scripts, and what it stands for.

    Attributes:
        query: Query script; `*` for all.
        source: Source script; `*` for all.
        field: The `steering` field.
        fingerprint: Of the edits; of the whole policy where the server's own policy chooses.
    """

    query: str
    source: str
    field: Any
    fingerprint: str


class ArmRecord(Document):
    """One arm as it is asked; see `Arm`."""

    name: str
    kind: str
    is_thinking: bool
    temperature: float
    num_samples: int
    prompt: str
    rule: str | None
    draw: int | None
    steering: tuple[SteeringRecord, ...]

    @classmethod
    def of(cls, arm: Arm, fingerprints: Mapping[tuple[str, str], str]) -> Self:
        """Describe an arm, with the fingerprint that each pair's field must be answered with."""
        steering = tuple(
            SteeringRecord(query=query, source=source, field=field, fingerprint=fingerprints[query, source])
            for (query, source), field in arm.steering.items()
        )
        names = ("name", "is_thinking", "temperature", "num_samples", "prompt", "rule", "draw")
        return cls(kind=arm.kind.value, steering=steering, **{name: getattr(arm, name) for name in names})


class BenchmarkRecord(Document):
    """Which items are asked."""

    name: str
    argument: str
    sha256: str
    scorer: str
    num_items: int
    num_entities: int


class RunRecord(Document):
    """A run.

    Attributes:
        benchmark: Which items.
        half: Which half of them.
        limit: Of how many items at most.
        arms: How they are asked.
        seed: Of their order and of sampling.
        model: The loaded model.
        versions: Of the server's packages and of this side's.
        engine: The engine's settings.
        hardware: This side's machine.
        created: When the run began.
        frequencies: Selection frequencies that the random controls were matched on, [layers, experts].
        rank_facts: Facts whose candidates are ranked; None where none are.
        rules_sha256: Of the file of the rules that guess, where there is one.
        judge: The model that judges, where one does.
    """

    schema_: Literal["polyglyph.evaluation-run/1"] = Field(default="polyglyph.evaluation-run/1", alias="schema")
    benchmark: BenchmarkRecord
    half: Half
    limit: int | None = None
    arms: tuple[ArmRecord, ...]
    seed: int
    model: ModelBinding
    versions: dict[str, Any]
    engine: dict[str, Any]
    hardware: dict[str, Any]
    created: str
    frequencies: Frequencies | None = None
    rank_facts: int | None = None
    rules_sha256: str | None = None
    judge: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Give the document as plain JSON values."""
        return self.model_dump(mode="json", by_alias=True)

    def write(self, folder: Path) -> None:
        """Write `run.json`, whole or not at all.

        Raises:
            UnwritableFileError: It cannot be written.
        """
        path = folder / FILE_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps(self.to_json(), ensure_ascii=False, indent=1) + "\n")
        except OSError as error:
            raise UnwritableFileError(f"{path} cannot be written: {error.strerror or error}") from error

    def check_goes_on(self, earlier: "RunRecord", folder: Path) -> None:
        """Refuse to go on with another run.

        Raises:
            RunFolderError: Names the first thing that differs, with both values.
        """
        for name in RunRecord.model_fields:
            was, is_ = getattr(earlier, name), getattr(self, name)
            if name not in LATER and was != is_:
                raise RunFolderError(
                    f"{folder / FILE_NAME}: the earlier run had {_difference(name, was, is_)}; go on with the same, or "
                    "begin anew in another folder"
                )


def check_folder(folder: Path, *, resumes: bool) -> RunRecord | None:
    """Look at the folder of a run that is about to begin; gives the record of the run that it goes on with.

    Raises:
        RunFolderError: It holds something that is no run, or a run that is not to be gone on with.
    """
    earlier = read_record(folder)
    if earlier is not None and not resumes:
        raise RunFolderError(f"{folder}: holds a run already; go on with it by --resume, or name another folder")
    return earlier


def read_record(folder: Path) -> RunRecord | None:
    """Read `run.json`; None where the folder is empty or missing.

    Raises:
        RunFolderError: The folder holds something that is no run.
    """
    path = folder / FILE_NAME
    try:
        return RunRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RunFolderError(f"{folder}: holds something, but no {FILE_NAME}; name another folder") from None
        return None
    except (OSError, ValidationError) as error:
        raise RunFolderError(f"{path}: no record of a run: {error}") from error


def versions_of(model: LoadedModel) -> dict[str, Any]:
    """Give the server's versions, and those of this side."""
    here: dict[str, Any] = {"polyglyph": __version__, "python": platform.python_version()}
    for package in ("numpy", "pyicu"):
        try:
            here[package] = version(package)
        except PackageNotFoundError:
            here[package] = None
    return {"server": model.versions, "client": here}


def hardware() -> dict[str, Any]:
    """Describe this machine; it is the server's too, when the command started it."""
    return {
        "processor": _processor(),
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": os.cpu_count(),
    }


def now() -> str:
    """Give the time as ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())


def _difference(name: str, was: Any, is_: Any) -> str:
    """Name what differs: of arms and documents the first field that does."""
    if isinstance(was, Document) and isinstance(is_, type(was)):
        for part in type(was).model_fields:
            if getattr(was, part) != getattr(is_, part):
                return _difference(f"{name}.{part}", getattr(was, part), getattr(is_, part))
    if isinstance(was, tuple) and isinstance(is_, tuple):
        names = [[getattr(part, "name", "") for part in parts] for parts in (was, is_)]
        if names[0] != names[1]:
            return f"{name} {names[0]}, this one has {names[1]}"
        for index, (one, other) in enumerate(zip(was, is_, strict=False)):
            if one != other:
                return _difference(f"{name}[{index}]", one, other)
    return f"{name} {was!s:.120}, this one has {is_!s:.120}"
