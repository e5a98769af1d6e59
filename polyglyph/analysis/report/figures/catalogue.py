"""Catalogue: every figure by its name."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from polyglyph.analysis.evaluation.whole_file import write_whole
from polyglyph.analysis.evidence.errors import EvidenceError
from polyglyph.analysis.report.figures.drawing import Kind, file_of
from polyglyph.analysis.report.figures.experts import clusters_figure, co_activation_figure
from polyglyph.analysis.report.figures.layers import layers_figure, load_figure, pathways_figure
from polyglyph.analysis.report.figures.maps import difference_figure, lift_figure
from polyglyph.analysis.report.findings import Findings
from polyglyph.analysis.statistics.figure import Missing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS: tuple[Kind, ...] = ("svg", "png")


def figures_of(findings: Findings) -> Mapping[str, "Callable[[], Figure]"]:
    """Give what draws each figure, by name: `layers`, `load`, `clusters`, `lift-GROUP`, `difference-A-B`, ...

    Figures that need traces are there where there are traces.
    """
    found: dict[str, Callable[[], Figure]] = {
        "layers": partial(layers_figure, findings),
        "load": partial(load_figure, findings),
        "clusters": partial(clusters_figure, findings),
    }
    if not isinstance(findings.marks.lift_GLE, Missing):
        found |= {f"lift-{group}": partial(lift_figure, findings, group) for group in findings.source.groups.names}
    if not isinstance(findings.pairs.pairs, Missing):
        for pair in findings.pairs.pairs:
            found[f"difference-{pair.first}-{pair.second}"] = partial(difference_figure, findings, pair)
    if not isinstance(findings.tokens.pathways, Missing):
        found["pathways"] = partial(pathways_figure, findings)
    if not isinstance(findings.tokens.together_LEE, Missing):
        found["co-activation"] = partial(co_activation_figure, findings)
    return found


def draw(findings: Findings, name: str) -> "Figure":
    """Draw one figure.

    Raises:
        EvidenceError: There is none of that name; the text lists those that are.
    """
    known = figures_of(findings)
    if name not in known:
        raise EvidenceError(f"expected a figure out of {', '.join(known)}, got {name!r}")
    return known[name]()


def write_figures(findings: Findings, folder: Path) -> list[Path]:
    """Write every figure as SVG and PNG.

    Args:
        findings: What is drawn.
        folder: Made where it does not exist.

    Raises:
        OSError: A file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, draw_it in figures_of(findings).items():
        figure = draw_it()
        for kind in KINDS:
            path = folder / f"{_file_name(name)}.{kind}"
            write_whole(path, file_of(figure, kind))
            paths.append(path)
    return paths


def _file_name(name: str) -> str:
    """Give a name that any file system takes; groups may be named after anything."""
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)
