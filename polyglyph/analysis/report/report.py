"""Report: findings with their document, figures and page, for commands and notebooks."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyglyph.analysis.evaluation.whole_file import write_whole
from polyglyph.analysis.evidence.counts import Counts
from polyglyph.analysis.report.document import document_of
from polyglyph.analysis.report.figures.catalogue import draw, figures_of, write_figures
from polyglyph.analysis.report.figures.drawing import file_of
from polyglyph.analysis.report.findings import DEFAULT_TOP, Findings, Wishes, findings_of
from polyglyph.analysis.report.page.writer import page_of
from polyglyph.analysis.report.source import read_source, source_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

IN_NOTEBOOKS = ("layers", "clusters", "load")
"""Figures that a notebook shows, beside the maps of the first groups."""
NUM_MAPS = 2


@dataclass(frozen=True, eq=False)
class Report:
    """What was found, in every form it is wanted in.

    Attributes:
        findings: The numbers as arrays.
    """

    findings: Findings

    @cached_property
    def document(self) -> dict[str, Any]:
        """The numbers as plain JSON types."""
        return document_of(self.findings)

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of the figures."""
        return tuple(figures_of(self.findings))

    def figure(self, name: str) -> "Figure":
        """Draw a figure.

        Raises:
            EvidenceError: There is none of that name; the text lists those that are.
        """
        return draw(self.findings, name)

    def html(self) -> str:
        """Give the page."""
        return page_of(self.findings, self.document)

    def write(self, path: Path | str) -> Path:
        """Write the page; what was there before stays until the new one is whole.

        Raises:
            OSError: It cannot be written.
        """
        write_whole(Path(path), self.html())
        return Path(path)

    def write_figures(self, folder: Path | str) -> list[Path]:
        """Write every figure as SVG and PNG; the folder is made where it does not exist.

        Raises:
            OSError: A file cannot be written.
        """
        return write_figures(self.findings, Path(folder))

    def _repr_html_(self) -> str:
        """Give what a notebook shows: the groups and the main figures, without a script."""
        names = [name for name in self.figures if name in IN_NOTEBOOKS]
        names += [name for name in self.figures if name.startswith("lift-")][:NUM_MAPS]
        notes = "".join(f"<p><em>{escape(note)}</em></p>" for note in self.document["notes"])
        return f"<div>{_table(self.document)}{notes}{''.join(map(self._image, names))}</div>"

    def _image(self, name: str) -> str:
        data = base64.b64encode(file_of(self.figure(name), "png")).decode()
        return f'<p><img alt="{escape(name)}" style="max-width:100%" src="data:image/png;base64,{data}"></p>'


def analyse(
    evidence: Path | str | Counts | Sequence[Path | str],
    *,
    by: str | Sequence[str] = "script",
    where: Mapping[str, Sequence[str]] | None = None,
    pairs: Sequence[tuple[str, str]] = (),
    named: Mapping[str, Sequence[str]] | None = None,
    traces: Path | str | None = None,
    tokenizer: Path | str | None = None,
    labels: Path | str | None = None,
    top: int = DEFAULT_TOP,
) -> Report:
    """Report on evidence; in a notebook the report shows itself.

    Args:
        evidence: A stats file, traces, a labelled run, several of one model, or counts.
        by: Label or labels that tell groups apart.
        where: Values that are kept, by label.
        pairs: Groups whose difference is tested, first minus second; the usual ones unless given.
        named: Sets of groups whose signatures are looked for besides, by name.
        traces: Traces for tokens, co-activation and pathways, where the evidence is none.
        tokenizer: Folder or file of the model's tokenizer.
        labels: A file of labels for traces.
        top: Experts of a list, in the document.

    Raises:
        EvidenceError: The evidence cannot be read or does not hold what is asked of it.
    """
    columns = (by,) if isinstance(by, str) else tuple(by)
    if isinstance(evidence, Counts):
        source = source_of(evidence, by=columns, where=where)
    else:
        paths = [evidence] if isinstance(evidence, Path | str) else evidence
        own = None if labels is None else Path(labels)
        source = read_source([Path(path) for path in paths], by=columns, where=where, labels=own)
    wishes = Wishes(
        pairs=pairs,
        named=named or {},
        traces=None if traces is None else Path(traces),
        tokenizer=None if tokenizer is None else Path(tokenizer),
        top=top,
    )
    return Report(findings_of(source, wishes))


def _table(document: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{group['tokens']:,}</td><td>{_shown(group['entropy_bits'])}</td></tr>"
        for name, group in document["groups"].items()
    )
    head = f"<tr><th>{escape(' / '.join(document['by']))}</th><th>tokens</th><th>entropy, bits</th></tr>"
    return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def _shown(cell: Any) -> str:
    return escape(cell["cannot_be_computed"]) if isinstance(cell, dict) else f"{cell:.3g}"
