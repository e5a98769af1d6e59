"""Figures of experts: their clusters by the groups' shares, and who is selected with whom."""

from typing import TYPE_CHECKING

import numpy as np

from polyglyph.analysis.quantities.clusters import order_of_groups, shares_of_groups
from polyglyph.analysis.report.figures.drawing import draw_map, limit_of, new_figure, say_instead
from polyglyph.analysis.report.findings import Findings
from polyglyph.analysis.report.token_document import shares_together
from polyglyph.analysis.statistics.figure import Missing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 4


def clusters_figure(findings: Findings) -> "Figure":
    """Draw each group's share in every expert's selections, experts cluster by cluster, like groups side by side."""
    found, names = findings.marks.clusters, findings.source.groups.names
    figure, axes = new_figure(height=1.6 + 0.22 * len(names))
    if isinstance(found, Missing):
        say_instead(axes, found.reason)
        return figure
    member_C = found.member_LE.reshape(-1)
    order_C = np.argsort(member_C, kind="stable")
    order_C = order_C[member_C[order_C] >= 0]
    groups = list(order_of_groups(findings.curves.js_GG))
    share_GC = shares_of_groups(findings.source.groups.frequencies_GLE)[:, order_C][groups]
    image = draw_map(axes, share_GC, top=min(1.0, 4 / len(names)))
    figure.colorbar(image, ax=axes, label="share of the group")
    axes.set_yticks(range(len(names)), [names[group] for group in groups], fontsize="small")
    borders = np.flatnonzero(np.diff(member_C[order_C])) + 0.5
    axes.vlines(borders, -0.5, len(names) - 0.5, colors="white", linewidths=0.8)
    axes.set(xlabel="experts of all layers, cluster by cluster", ylabel="")
    return figure


def co_activation_figure(findings: Findings) -> "Figure":
    """Draw, layer by layer, the share of each expert's tokens (rows) that also select another (columns)."""
    together_LEE = findings.tokens.together_LEE
    if isinstance(together_LEE, Missing):
        figure, axes = new_figure(height=3.0)
        say_instead(axes, together_LEE.reason)
        return figure
    share_LEE = shares_together(together_LEE)
    rows = -(-len(share_LEE) // COLUMNS)
    figure, axes = new_figure(height=2.2 * rows, rows=rows, columns=COLUMNS)
    top = limit_of(share_LEE, 0.999)
    for layer, place in enumerate(np.atleast_1d(axes).flat):
        if layer >= len(share_LEE):
            place.set_axis_off()
            continue
        image = draw_map(place, share_LEE[layer], top=top)
        place.set_title(f"layer {layer}", fontsize="small")
        place.set(xlabel="", ylabel="")
    figure.colorbar(image, ax=axes, label="share of the row's tokens", shrink=0.6)
    return figure
