"""Jobs: the single requests of a run, in an order that no drift of the server can turn against an arm."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from random import Random

from polyglyph.analysis.evaluation.arm import Arm, ArmKind
from polyglyph.analysis.evaluation.benchmark import Prompts
from polyglyph.analysis.evaluation.item import Item
from polyglyph.analysis.evaluation.prompts import messages_of

Key = tuple[str, str, int]


@dataclass(frozen=True)
class Job:
    """One item, asked once in the way of one arm.

    Attributes:
        item: What is asked.
        arm: How.
        sample: Which of the arm's samples, from 0.
    """

    item: Item
    arm: Arm
    sample: int

    @property
    def key(self) -> Key:
        """What tells it from all others of a run: item, arm and sample."""
        return self.item.id, self.arm.name, self.sample

    def sampling_seed(self, seed: int) -> int:
        """Give the seed of its sampling: 31 bits, the same for every arm, so that arms differ by nothing else."""
        digest = sha256(f"{seed} {self.sample} {self.item.id}".encode()).digest()
        return int.from_bytes(digest[:4], "big") >> 1


def jobs_of(items: Sequence[Item], arms: Iterable[Arm], prompts: Prompts, *, seed: int) -> list[Job]:
    """Give every job of a run, all arms mixed, in the same order for the same seed.

    An item that an arm would ask just as `none` does is not asked again in that arm.
    """
    jobs = [
        Job(item, arm, sample)
        for arm in arms
        for item in items
        if _differs(item, arm, prompts)
        for sample in range(arm.num_samples)
    ]
    Random(seed).shuffle(jobs)
    return jobs


def _differs(item: Item, arm: Arm, prompts: Prompts) -> bool:
    if arm.kind is ArmKind.NONE or arm.rule is not None or item.pair in arm.steering:
        return True
    return messages_of(item, prompts, arm.prompt) != messages_of(item, prompts)
