"""Drawing: what all figures share. Sizes, colours that any colour vision tells apart, maps, curves and files.

Letters of shapes: L MoE layers, E experts.
"""

import io
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.search.bands import Band, Bands

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIGNED = "PuOr_r"
"""For values with a sign, zero in the middle."""
AMOUNTS = "cividis"
LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#6a3d9a")
"""Okabe and Ito's colours, the pale yellow replaced; lines differ in their dashes too."""
DASHES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (1, 1)), (0, (8, 3)), (0, (4, 2, 1, 2, 1, 2)), (0, (3, 1)))
NO_VALUE = "#bdbdbd"
MANY = 12
"""More curves than this have a smaller legend."""
WIDTH = 9.0
DPI = 150

Array = NDArray[np.float64]
Kind = Literal["svg", "png"]


def new_figure(*, height: float, width: float = WIDTH, columns: int = 1, rows: int = 1) -> "tuple[Figure, Any]":
    """Give a figure without a window and its axes (an array where there are several), in inches."""
    from matplotlib.figure import Figure as NewFigure

    figure = NewFigure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns)


def draw_map(
    axes: "Axes", values_LE: Array, *, limit: float | None = None, top: float = 1.0, hatched: Any = None
) -> Any:
    """Draw a matrix; give the image for a colour bar.

    Args:
        axes: Where to.
        values_LE: Rows x columns; what is no number is grey and hatched.
        limit: Both ends of a scale around zero; None for amounts from 0 to `top`.
        top: Largest amount.
        hatched: bool, cells to strike out besides.
    """
    import matplotlib as mpl

    name = AMOUNTS if limit is None else SIGNED
    colours = mpl.colormaps[name].with_extremes(bad=NO_VALUE)
    low, high = (0.0, top) if limit is None else (-limit, limit)
    # NaN is drawn as what the colours call bad.
    image = axes.imshow(values_LE, aspect="auto", cmap=colours, interpolation="nearest", vmin=low, vmax=high)
    is_struck = np.isnan(values_LE) | (np.zeros(values_LE.shape, bool) if hatched is None else hatched)
    _strike(axes, is_struck)
    axes.set_ylabel("layer")
    axes.set_xlabel("expert")
    return image


def draw_curves(axes: "Axes", curves: Mapping[str, Array], *, bands: Bands | None = None) -> None:
    """Draw curves over the layers, the middle band shaded behind them, gaps where there is no number."""
    if bands is not None and bands.layers[Band.MIDDLE]:
        middle = bands.layers[Band.MIDDLE]
        axes.axvspan(middle[0] - 0.5, middle[-1] + 0.5, color="#ececf2", zorder=0)
    for index, (name, values_L) in enumerate(curves.items()):
        style = DASHES[(index + index // len(LINES)) % len(DASHES)]
        axes.plot(values_L, color=LINES[index % len(LINES)], linestyle=style, linewidth=1.4, label=name)
    axes.set_xlabel("layer")
    axes.set_xlim(-0.5, len(next(iter(curves.values()))) - 0.5)
    if len(curves) > 1:
        is_much = len(curves) > MANY
        axes.legend(fontsize=5 if is_much else "x-small", ncols=8 if is_much else 4, frameon=False)


def limit_of(values: Array, share: float = 0.995) -> float:
    """Give the largest distance from zero, without the outermost values that would leave the rest pale."""
    sizes = np.abs(values[np.isfinite(values)])
    return float(np.quantile(sizes, share)) or float(sizes.max()) or 1.0 if len(sizes) else 1.0


def file_of(figure: "Figure", kind: Kind) -> bytes:
    """Give a figure as a file; the same figure gives the same bytes."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    with mpl.rc_context({"svg.hashsalt": "polyglyph", "svg.fonttype": "path"}):
        figure.savefig(buffer, format=kind, dpi=DPI, facecolor="white", metadata=metadata)
    return buffer.getvalue()


def say_instead(axes: "Axes", reason: str) -> None:
    """Write why there is nothing to draw."""
    axes.set_axis_off()
    words = textwrap.fill(f"cannot be computed: {reason}", 44)
    axes.text(0.5, 0.5, words, ha="center", va="center", style="italic", transform=axes.transAxes)


def _strike(axes: "Axes", is_struck: NDArray[np.bool_]) -> None:
    """Strike cells out from corner to corner, as one collection of lines."""
    from matplotlib.collections import LineCollection

    rows, columns = np.nonzero(is_struck)
    if not len(rows):
        return
    starts = np.stack([columns - 0.5, rows + 0.5], axis=1)
    lines = np.stack([starts, starts + np.array([1.0, -1.0])], axis=1)
    axes.add_collection(LineCollection(list(lines), colors="#555555", linewidths=0.4))
