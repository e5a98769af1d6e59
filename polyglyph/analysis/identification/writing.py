"""Writes what a method found: a plan, an expert set or a table, told by the file's ending, and matched controls."""

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polyglyph.analysis.evaluation.whole_file import write_whole
from polyglyph.analysis.identification.errors import IdentificationError
from polyglyph.analysis.identification.identified import Identified
from polyglyph.analysis.search.random_matched import random_matched
from polyglyph.clients.errors import UnwritableFileError
from polyglyph.contract.plan import Plan

PLAN, EXPERTS, PARQUET, CSV = ".plan.json", ".experts.json", ".parquet", ".csv"
ENDINGS = (PLAN, EXPERTS, PARQUET, CSV)
NAME_LIMIT = 64


def write_identified(
    found: Identified, paths: Sequence[Path], *, name: str | None = None, num_controls: int = 0, draw: int = 1
) -> list[Path]:
    """Write files; nothing is written when one of them cannot be made.

    Args:
        found: By a method.
        paths: Plans end in `.plan.json`, expert sets in `.experts.json`, tables in `.parquet` or `.csv`.
        name: Of plan or expert set; the file's own unless given.
        num_controls: Random controls of each plan, beside it as `NAME-random-DRAW.plan.json`.
        draw: Of the first control; each next one has the next number.

    Returns:
        What was written.

    Raises:
        IdentificationError: An ending says nothing, or controls are asked for without a plan.
        NothingChosenError: A plan or expert set of no expert.
        NoControlError: A plan has no matched control.
        UnwritableFileError: A file cannot be written.
    """
    check_paths(paths, num_controls=num_controls)
    contents: dict[Path, str | bytes] = {}
    for path in paths:
        contents |= _contents(found, path, name=name, num_controls=num_controls, draw=draw)
    for path, content in contents.items():
        try:
            write_whole(path, content)
        except OSError as error:
            raise UnwritableFileError(f"{path} cannot be written: {error.strerror or error}") from error
    return list(contents)


def check_paths(paths: Sequence[Path], *, num_controls: int = 0) -> None:
    """Refuse files whose ending says nothing, before any work is done.

    Raises:
        IdentificationError: Names the file and the endings.
    """
    for path in paths:
        if not path.name.endswith(ENDINGS):
            raise IdentificationError(f"--output {path}: expected a name that ends in {', '.join(ENDINGS)}")
    if num_controls and not any(path.name.endswith(PLAN) for path in paths):
        raise IdentificationError(f"--controls are written beside a plan: name one with --output NAME{PLAN}")


def controls_of(found: Identified, plan: Plan, *, num_controls: int, draw: int) -> list[Plan]:
    """Give a plan's random controls, matched on layer and selection frequency.

    Raises:
        IdentificationError: The evidence has no frequencies to match on.
        NoControlError: The plan has no matched control.
    """
    if num_controls and found.frequencies_LE is None:
        raise IdentificationError(
            f"--controls: {found.method} saw no selection frequencies, which controls are matched on; make them with "
            "'polyglyph identify random' from stats of the model"
        )
    assert found.frequencies_LE is not None or not num_controls
    return [
        random_matched(plan, found.frequencies_LE, draw=number)  # type: ignore[arg-type]
        for number in range(draw, draw + num_controls)
    ]


def name_of(path: Path) -> str:
    """Give a plan's name by its file's."""
    stem = next((path.name.removesuffix(end) for end in ENDINGS if path.name.endswith(end)), path.stem)
    return re.sub(r"[^A-Za-z0-9._-]", "-", stem).lstrip("._-")[:NAME_LIMIT] or "plan"


def _contents(
    found: Identified, path: Path, *, name: str | None, num_controls: int, draw: int
) -> dict[Path, str | bytes]:
    if path.name.endswith(PLAN):
        plan = found.plan(name or name_of(path))
        controls = controls_of(found, plan, num_controls=num_controls, draw=draw)
        stem = path.name.removesuffix(PLAN)
        beside = {
            path.with_name(f"{stem}-random-{number}{PLAN}"): _json(control.to_json())
            for number, control in enumerate(controls, draw)
        }
        return {path: _json(plan.to_json()), **beside}
    if path.name.endswith(EXPERTS):
        return {path: _json(found.expert_set(name or name_of(path)).to_json())}
    data = io.BytesIO()
    if path.name.endswith(PARQUET):
        found.table.write_parquet(data)
    else:
        found.table.write_csv(data)
    return {path: data.getvalue()}


def _json(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
