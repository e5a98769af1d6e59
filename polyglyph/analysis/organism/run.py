"""Run: the numbers that make two trainings the same training. Needs nothing but Python."""

from dataclasses import dataclass

MAX_SEED = 2**32 - 1


@dataclass(frozen=True)
class Run:
    """What is trained.

    The lessons of a step depend on the seed and the step alone, so no generator state has to be kept.

    Attributes:
        seed: Of the world, the weights and the lessons, 0 to 2**32 - 1.
        num_steps: Optimiser steps of the whole schedule.
        num_lessons: Training examples per step.
        variant: Name of what is engineered into it (`variant.py`).
    """

    seed: int = 0
    num_steps: int = 2000
    num_lessons: int = 64
    variant: str = "full"
