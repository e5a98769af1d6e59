"""Writes `reproductions.md` from the records beside it: `python docs/results/reproductions.py`.

`reproductions/` holds what `polyglyph reproduce all` wrote. The words stand in `reproductions.md.jinja`; every figure
comes from these files, and a test writes the page again and compares.
"""

import json
import sys
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from polyglyph.analysis.reproduction import lines
from polyglyph.analysis.reproduction.registry import NAMES
from polyglyph.analysis.results.cells import table

HERE = Path(__file__).parent
RECORDS = HERE / "reproductions"
TEMPLATE = HERE / "reproductions.md.jinja"
PAGE = HERE / "reproductions.md"

Document = dict[str, Any]


def main() -> None:
    """Write the page."""
    PAGE.write_text(render(read_records()), encoding="utf-8")
    sys.stderr.write(f"wrote {PAGE.name}\n")


def read_records() -> dict[str, Document]:
    """Read the record of every reproduction."""
    return {name: json.loads((RECORDS / f"{name}.json").read_text(encoding="utf-8")) for name in NAMES}


def render(records: dict[str, Document]) -> str:
    """Give the page's text."""
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # noqa: S701 - Markdown
    environment.filters["cell"] = lines.cell
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(**values(records)).strip() + "\n"


def values(records: dict[str, Document]) -> Document:
    """Give what the template is filled with."""
    runs = [record["run"] for record in records.values()]
    return {
        "records": records,
        "summary": summary_table(records),
        "section": section,
        "layers": layers_table(records["pathways"]),
        "run": runs[0],
        "seconds": sum(run["seconds"] for run in runs),
        "requests": sum(run["requests"] for run in runs),
        "beating": names_where(records, "yes"),
        "beating_in_part": names_where(records, "in part"),
        "not_beating": names_where(records, "no"),
        "part": part,
    }


def summary_table(records: dict[str, Document]) -> str:
    """Write a line for each reproduction."""
    header = ("name", "paper", "claim reached, settings", "better than random", "run time", "requests")
    return table(header, [lines.summary_row(record) for record in records.values()])


def section(record: Document) -> str:
    """Write what a record holds: the claim, its thresholds, the settings and the arms."""
    parts = [
        f"**Claim.** {record['paper']['claim']}",
        lines.thresholds_table(record),
        lines.parts_table(record),
        lines.arms_table(record),
        _listed("Also tried, and not in the verdict", record["tried"]),
        _listed("To know", record["notes"]),
    ]
    return "\n\n".join(part for part in parts if part)


def part(record: Document, name: str) -> Document:
    """Give one setting of a record."""
    found: Document = next(each for each in record["parts"] if each["part"] == name)
    return found


def layers_table(record: Document) -> str:
    """Write the pathways of each layer."""
    rows = [
        (str(row["layer"]), *(lines.cell(row[field]) for field in ("transliterated", "shuffled", "area")))
        for row in record["found"]["by layer"]
    ]
    return table(("layer", "distance, transliterated", "distance, shuffled", "area, success away from home"), rows)


def names_where(records: dict[str, Document], beats: str) -> str:
    """Name the reproductions whose method beats random so."""
    named = [f"`{name}`" for name, record in records.items() if record["beats_random"] == beats]
    return ", ".join(named) or "none"


def _listed(title: str, sentences: list[str]) -> str:
    return f"{title}:\n\n" + "\n".join(f"- {sentence}" for sentence in sentences) if sentences else ""


if __name__ == "__main__":
    main()
