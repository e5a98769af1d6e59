"""Curves over the layers, and the load of the experts."""

from typing import TYPE_CHECKING

from polyglyph.analysis.report.figures.drawing import draw_curves, draw_map, new_figure, say_instead
from polyglyph.analysis.report.findings import Findings
from polyglyph.analysis.statistics.figure import Missing

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def layers_figure(findings: Findings) -> "Figure":
    """Draw divergence, information, entropy and the divergence of parallel items over the layers."""
    curves, names = findings.curves, findings.source.groups.names
    figure, axes = new_figure(height=6.0, rows=2, columns=2)
    if len(names) > 1:
        draw_curves(axes[0, 0], {"mean of all pairs": curves.js_mean_L}, bands=curves.bands)
        draw_curves(axes[0, 1], {"information": curves.information_L}, bands=curves.bands)
    else:
        for place in axes[0]:
            say_instead(place, "needs two groups or more")
    draw_curves(axes[1, 0], dict(zip(names, curves.entropy_GL, strict=True)), bands=curves.bands)
    parallel_L = findings.pairs.parallel_L
    if isinstance(parallel_L, Missing):
        say_instead(axes[1, 1], parallel_L.reason)
    else:
        draw_curves(axes[1, 1], {"mean of the pairs": parallel_L}, bands=curves.bands)
    titles = ("JS divergence between groups, bits", "information on the group, 0 to 1", "routing entropy, bits")
    for place, title in zip(axes.flat, (*titles, "entropy-normalised divergence of parallel items"), strict=True):
        place.set_title(title, fontsize="medium")
    return figure


def load_figure(findings: Findings) -> "Figure":
    """Draw how evenly all tokens load the experts: Jain's index, the busiest over the mean, dormant experts."""
    curves = findings.curves
    figure, axes = new_figure(height=5.5, rows=2, columns=2)
    draw_curves(axes[0, 0], {"all groups": curves.jain_L}, bands=curves.bands)
    draw_curves(axes[0, 1], {"all groups": curves.max_over_mean_L}, bands=curves.bands)
    draw_curves(axes[1, 0], {"all groups": curves.dormant_L.astype(float)}, bands=curves.bands)
    groups = dict(zip(findings.source.groups.names, curves.jain_GL, strict=True))
    draw_curves(axes[1, 1], groups, bands=curves.bands)
    axes[0, 0].set_ylim(0, 1.02)
    axes[1, 1].set_ylim(0, 1.02)
    titles = ("Jain's index", "busiest expert over the mean", "dormant experts", "Jain's index by group")
    for place, title in zip(axes.flat, titles, strict=True):
        place.set_title(title, fontsize="medium")
    return figure


def pathways_figure(findings: Findings) -> "Figure":
    """Draw the mean distance of tokens' pathways within and between groups."""
    found = findings.tokens.pathways
    figure, axes = new_figure(height=4.5, width=5.5)
    if isinstance(found, Missing):
        say_instead(axes, found.reason)
        return figure
    image = draw_map(axes, found.distance_GG, top=1.0)
    figure.colorbar(image, ax=axes, label="edit distance over length")
    places = range(len(found.names))
    axes.set_xticks(places, found.names, rotation=45, ha="right")
    axes.set_yticks(places, found.names)
    axes.set(xlabel="", ylabel="")
    return figure
