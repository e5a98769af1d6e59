"""Candidates: what a round of rewiring tries on top of what it has.

Letters of shapes: L MoE layers, E experts.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from polyglyph.analysis.identification.rewiring.scorer import Vector
from polyglyph.analysis.search.frequencies import ScriptFrequencies

DIRECTION_STRENGTHS = (1.0, 4.0)
"""Standard deviations per unit of frequency difference; `polyglyph search` finds its plans between them."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A step that may be taken.

    Attributes:
        name: In a few words.
        step: What is added to the vector so far.
    """

    name: str
    step: Vector


def directions_of(frequencies: ScriptFrequencies) -> dict[str, Vector]:
    """Give what each script's selection frequencies have over the mean of the others, by a name."""
    return {
        f"towards {script}": frequencies.of(script) - frequencies.mean_of_others(script)
        for script in frequencies.scripts
    }


class Candidates:
    """Proposes steps: known directions first, then in turn single experts and random ones; never twice the same.

    Args:
        shape: Layers and experts.
        layers: Layers that may be steered.
        directions: By name, of any scale.
        seed: Of what is drawn.
    """

    def __init__(
        self, shape: tuple[int, int], layers: tuple[int, ...], directions: Mapping[str, Vector], *, seed: int
    ) -> None:
        self._shape, self._layers = shape, layers
        self._rng = np.random.default_rng(seed)
        self._known = self._along(directions)
        self._singles = self._single_experts()

    def draw(self, count: int, size: float, last: Candidate | None) -> list[Candidate]:
        """Give up to `count` steps of a size in standard deviations; the last one that helped is tried once more.

        Args:
            count: How many.
            size: Of single and random steps.
            last: The step that was accepted in the round before, if any.
        """
        drawn = [] if last is None else [last]
        for known in self._known:
            drawn.append(known)
            if len(drawn) >= count:
                return drawn[:count]
        while len(drawn) < count:
            drawn.append(self._single(size) if len(drawn) % 4 else self._random(size))
        return drawn[:count]

    def _along(self, directions: Mapping[str, Vector]) -> Iterator[Candidate]:
        is_steered = np.zeros(self._shape[0], dtype=bool)
        is_steered[list(self._layers)] = True
        for strength in DIRECTION_STRENGTHS:
            for name, direction in directions.items():
                for sign in (1.0, -1.0):
                    step = sign * strength * np.where(is_steered[:, None], direction, 0.0)
                    yield Candidate(f"{sign * strength:+g} {name}", step)

    def _single_experts(self) -> Iterator[tuple[int, int, float]]:
        """Give layer, expert and sign, all of them in random order, again and again."""
        every = [
            (layer, expert, sign) for layer in self._layers for expert in range(self._shape[1]) for sign in (1, -1)
        ]
        while True:
            for index in self._rng.permutation(len(every)):
                yield every[index]

    def _single(self, size: float) -> Candidate:
        layer, expert, sign = next(self._singles)
        step = np.zeros(self._shape)
        step[layer, expert] = sign * size
        return Candidate(f"expert {expert} of layer {layer} by {sign * size:+g}", step)

    def _random(self, size: float) -> Candidate:
        """Draw a random direction in one layer whose entries are of half a step on average."""
        layer = int(self._rng.choice(self._layers))
        step = np.zeros(self._shape)
        step[layer] = self._rng.normal(0.0, size / 2, self._shape[1])
        return Candidate(f"random in layer {layer}", step)
