"""Bands: early, middle and late layers, by where routing tells scripts apart (2510.04694 finds a valley in the middle).

Letters of shapes: L MoE layers.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

FLAT = 0.05
"""Smallest rise of the information between its lowest and highest layer that is taken for a valley."""


class Band(StrEnum):
    """A run of layers that is steered with one strength."""

    EARLY = "early"
    MIDDLE = "middle"
    LATE = "late"


@dataclass(frozen=True)
class Bands:
    """Which layers are in which band; a band may be empty.

    Attributes:
        layers: By band, in order.
    """

    layers: dict[Band, tuple[int, ...]]

    @property
    def present(self) -> tuple[Band, ...]:
        """The bands that have layers."""
        return tuple(band for band in Band if self.layers[band])

    def to_json(self) -> dict[str, list[int]]:
        """Give them as plain JSON types."""
        return {band.value: list(layers) for band, layers in self.layers.items()}


def bands_of(information_L: NDArray[np.float64]) -> Bands:
    """Cut the layers into bands.

    The middle runs from the first to the last layer whose information lies in the lower half between the lowest and
    the highest layer's; what comes before is early, what comes after late. Where the curve is flat, the bands are
    thirds.

    Args:
        information_L: Share of the scripts' entropy that routing tells, 0 to 1, per layer.
    """
    num_layers = len(information_L)
    low, high = float(information_L.min()), float(information_L.max())
    if high - low < FLAT:
        first, last = num_layers // 3, num_layers - num_layers // 3 - 1
    else:
        valley = [layer for layer, value in enumerate(information_L) if value < (low + high) / 2]
        first, last = valley[0], valley[-1]
    return Bands(
        {
            Band.EARLY: tuple(range(first)),
            Band.MIDDLE: tuple(range(first, last + 1)),
            Band.LATE: tuple(range(last + 1, num_layers)),
        }
    )
