"""Direction: where routing has to be pushed to look like routing of text in a script.

Letters of shapes: L layers, S scripts, E experts.
"""

import torch
from torch import Tensor

from polyglyph.analysis.organism.decoding import Decoder
from polyglyph.analysis.organism.frequency import selection_frequencies
from polyglyph.analysis.organism.world import World
from polyglyph.analysis.organism.writing import SCRIPTS, Script

STEERED_LAYERS = (0, 1)


def bridge_frequencies(decoder: Decoder, world: World) -> Tensor:
    """Measure selection frequencies on bridge entities with a relation, as [layers, scripts, experts].

    No barrier entity has a part in it, so that a plan cannot have seen what it is judged on.
    """
    texts = [f"{fact.entity.name} {fact.relation.name}" for fact in world.facts_of("bridge")]
    return selection_frequencies(decoder, texts)


def direction(frequencies_LSE: Tensor, script: Script) -> Tensor:
    """Give a script's frequencies minus the mean of the others' (2502.11096), zero off the steered layers.

    Args:
        frequencies_LSE: Selection frequencies, 0 to 1.
        script: Where to push to.

    Returns:
        float32 of shape [layers, experts], -1 to 1.
    """
    target = SCRIPTS.index(script)
    others = [index for index in range(len(SCRIPTS)) if index != target]
    direction_LE = frequencies_LSE[:, target] - frequencies_LSE[:, others].mean(dim=1)
    is_steered_L = torch.tensor([layer in STEERED_LAYERS for layer in range(len(direction_LE))])
    return direction_LE * is_steered_L[:, None]


def permuted(direction_LE: Tensor, *, seed: int) -> Tensor:
    """Deal a direction's values to random experts of the same layer: a control of the same size."""
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([row_E[torch.randperm(len(row_E), generator=generator)] for row_E in direction_LE])
