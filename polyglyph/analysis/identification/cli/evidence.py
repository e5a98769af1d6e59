"""What a method reads, and what is to be read beside a claim about scripts."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from polyglyph.analysis.evaluation.options import words_of
from polyglyph.analysis.identification.cli.options import spans_of
from polyglyph.analysis.identification.identified import Identified

if TYPE_CHECKING:
    from polyglyph.analysis.evidence.counts import Counts
    from polyglyph.analysis.identification.sides import Sides
    from polyglyph.analysis.quantities.confounders import Confounders

SCRIPT_COLUMNS = frozenset({"script", "request_script", "prompt_script"})


def read(path: Path, labels: Path | None) -> "Counts":
    """Read the evidence of a command; polars is imported only now, so that `--help` answers at once."""
    from polyglyph.analysis.evidence.reading import read_evidence

    return read_evidence(path, labels=labels)


def sides_of(column: str, first: tuple[str, str], second: tuple[str, str | None], span: str | None) -> "Sides":
    """Read what is compared: for each side its option's name and value; without a second value all other groups."""
    from polyglyph.analysis.identification.sides import Sides

    return Sides(
        column=column,
        first=words_of(first[1], first[0]),
        second=words_of(second[1], second[0]) if second[1] else (),
        spans=spans_of(span),
    )


def beside_scripts(
    found: Identified, counts: "Counts", sides: "Sides", path: Path, labels: Path | None = None
) -> Identified:
    """Put the confounders beside what was found by comparing scripts; anything else is left as it is.

    Args:
        found: By a method.
        counts: The evidence.
        sides: What was compared.
        path: Of the evidence; traces say which tokens the scripts have in common.
        labels: Of the traces.
    """
    if sides.column not in SCRIPT_COLUMNS:
        return found
    from polyglyph.analysis.evidence.labelled_trace import labelled_traces
    from polyglyph.analysis.evidence.reading import has_traces
    from polyglyph.analysis.quantities.confounders import confounders

    others = sides.second or tuple(value for value in counts.values(sides.column) if value not in sides.first)
    traces = labelled_traces(path, labels) if has_traces(path) else ()
    measured = confounders(counts, sides.column, (*sides.first, *others), traces=traces)
    statistics = {**found.statistics, "confounders": measured.to_json()}
    # First: the last note is the reason where nothing was chosen.
    return replace(found, statistics=statistics, notes=(_sentence(measured), *found.notes))


def _sentence(measured: "Confounders") -> str:
    tokens = [f"{name} {value:.1f}" for name, value in measured.tokens_per_item.items() if isinstance(value, float)]
    shared = [
        f"{' and '.join(pair)} {overlap.weighted:.0%}"
        for pair, overlap in measured.overlap.items()
        if isinstance(overlap.weighted, float)
    ]
    known = [
        *([f"tokens per parallel item: {', '.join(tokens)}"] if tokens else ["tokens per parallel item are not known"]),
        *([f"tokens in common: {', '.join(shared)}"] if shared else ["tokens in common are not known"]),
    ]
    return f"what scripts differ in beside their letters: {'; '.join(known)}"
