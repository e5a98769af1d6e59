"""Maps of layers x experts: lift of each group, differences of two groups with what is not significant struck out."""

from typing import TYPE_CHECKING

import numpy as np

from polyglyph.analysis.report.figures.drawing import draw_map, limit_of, new_figure, say_instead
from polyglyph.analysis.report.findings import Findings
from polyglyph.analysis.report.pairs import Pair
from polyglyph.analysis.statistics.figure import Missing

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def lift_figure(findings: Findings, group: str) -> "Figure":
    """Draw the lift of one group.

    Raises:
        EvidenceError: There is no such group.
    """
    index = findings.source.groups.index(group)
    figure, axes = new_figure(height=_height(findings))
    lift_GLE = findings.marks.lift_GLE
    if isinstance(lift_GLE, Missing):
        say_instead(axes, lift_GLE.reason)
        return figure
    image = draw_map(axes, lift_GLE[index], limit=limit_of(lift_GLE))
    figure.colorbar(image, ax=axes, label="lift, binary logarithm")
    axes.set_title(f"{group}: frequency over the groups' mean; struck out: never selected", fontsize="medium")
    return figure


def difference_figure(findings: Findings, pair: Pair) -> "Figure":
    """Draw the difference of two groups, what is not significant struck out."""
    compared = pair.comparison
    figure, axes = new_figure(height=_height(findings))
    is_struck_LE = ~compared.is_significant(level=findings.pairs.alpha)
    image = draw_map(axes, compared.difference_LE, limit=limit_of(compared.difference_LE), hatched=is_struck_LE)
    figure.colorbar(image, ax=axes, label="difference of frequencies")
    share = f"{int((~is_struck_LE).sum())} of {np.size(is_struck_LE)} experts, by {compared.unit}"
    title = f"{pair.first} minus {pair.second}; struck out: q > {findings.pairs.alpha} (others: {share})"
    axes.set_title(title, fontsize="medium")
    return figure


def _height(findings: Findings) -> float:
    return 1.8 + 0.09 * findings.source.groups.model.layers
