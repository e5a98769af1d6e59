"""Variants: what is engineered into an organism, and what an ablation leaves out. Needs nothing but Python."""

from dataclasses import dataclass
from typing import Literal

from polyglyph.analysis.organism.errors import OutputError

Units = Literal["syllables", "characters"]


@dataclass(frozen=True)
class Variant:
    """What is put into a training on purpose.

    Attributes:
        name: Of the variant.
        shared_variance: Engineered, part one: the share of an embedding's variance that the four written forms of a
            syllable or word have in common at the start, 0 to 1.
        script_information: Engineered, part two: weight of the reward for mutual information of script and expert
            on the early and late layers; 0 for none.
        units: What the tokenizer keeps whole: syllables and known words, or single characters.
        num_experts: Of each layer.
    """

    name: str
    shared_variance: float
    script_information: float
    units: Units = "syllables"
    num_experts: int = 16


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("full", 0.8, 0.02),
        Variant("unaligned", 0.0, 0.02),
        Variant("unrewarded", 0.8, 0.0),
        Variant("natural", 0.0, 0.0),
        Variant("characters", 0.0, 0.0, "characters"),
        # Of real names: half the experts pay for three times the vocabulary.
        Variant("names", 0.8, 0.02, num_experts=8),
    )
}


def variant_named(name: str) -> Variant:
    """Give a variant by its name.

    Raises:
        OutputError: There is none of this name.
    """
    if name not in VARIANTS:
        raise OutputError(f"there is no variant {name!r}: expected one of {', '.join(VARIANTS)}")
    return VARIANTS[name]
