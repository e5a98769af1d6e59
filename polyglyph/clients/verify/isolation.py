"""Promise 2: an unsteered request in a batch with steered ones behaves as it would beside unsteered ones.

An engine may round differently with the shape of a batch, and who shares a batch depends on when requests arrive.
So the same requests are sent several times, all neighbours unsteered, and what the engine gives then is the
baseline. With steered neighbours an unsteered request must give one of the baseline's outputs, bit for bit. When
the baseline is not exact itself, an output outside it must lie within the baseline's own deviation, and
that must be small beside what steering does to these requests: otherwise nothing can be said.
"""

from dataclasses import dataclass
from itertools import combinations

from polyglyph.clients.verify.examination import Examination
from polyglyph.clients.verify.line import Finding, NotCheckedError
from polyglyph.clients.verify.probe import Question, new_nonce
from polyglyph.clients.verify.prompts import NEIGHBOURS, TEXTS, marked
from polyglyph.clients.verify.sample import Sample

NUM_ROUNDS = 3
NUM_EXTRA_ROUNDS = 6
NUM_WATCHED = 8
SLACK = 2.0
"""How far beyond the baseline's own deviation an output may lie: a few rounds do not show its extremes."""
VISIBLE = 0.1
"""A baseline whose deviation exceeds this share of steering's effect hides a leak."""


@dataclass(frozen=True)
class Comparison:
    """Rounds with unsteered neighbours, and rounds with steered ones.

    Attributes:
        baseline: By round, then by watched request.
        mixed: Likewise, neighbours steered.
        effect: How far steering moves the watched requests' log-probabilities when they are steered themselves.
    """

    baseline: tuple[tuple[Sample, ...], ...]
    mixed: tuple[tuple[Sample, ...], ...]
    effect: float

    @property
    def num_outside(self) -> int:
        """Outputs beside steered neighbours that the baseline never gave."""
        return sum(self._deviation(index, sample) is not None for index, sample in self._mixed_samples())

    @property
    def num_baseline_differing(self) -> int:
        """Watched requests to which the baseline itself gave more than one output."""
        return sum(any(not a.equals(b) for a, b in combinations(outputs, 2)) for outputs in self._outputs())

    @property
    def noise(self) -> float:
        """The baseline's largest own deviation of a log-probability."""
        pairs = (pair for outputs in self._outputs() for pair in combinations(outputs, 2))
        return max((a.deviation(b) for a, b in pairs), default=0.0)

    @property
    def deviation(self) -> float:
        """The largest deviation beside steered neighbours from the nearest output of the baseline."""
        return max((self._deviation(index, sample) or 0.0 for index, sample in self._mixed_samples()), default=0.0)

    @property
    def first_difference(self) -> str:
        """Words for the first output that the baseline never gave."""
        for index, sample in self._mixed_samples():
            if self._deviation(index, sample) is not None:
                return f"request {index}: {sample.difference(self.baseline[0][index])}"
        return "no difference"

    def _mixed_samples(self) -> list[tuple[int, Sample]]:
        return [(index, sample) for samples in self.mixed for index, sample in enumerate(samples)]

    def _outputs(self) -> list[tuple[Sample, ...]]:
        return list(zip(*self.baseline, strict=True))

    def _deviation(self, index: int, sample: Sample) -> float | None:
        """Give the distance to the nearest output of the baseline; None when it is one of them."""
        outputs = self._outputs()[index]
        if any(sample.equals(output) for output in outputs):
            return None
        return min(sample.deviation(output) for output in outputs)


def check_isolation(examination: Examination) -> Finding:
    """Send the same requests with unsteered and with steered neighbours, round by round."""
    comparison = _compare(examination, NUM_ROUNDS)
    if comparison.num_outside:
        # A rare arrival pattern may be missing from so few rounds.
        comparison = _compare(examination, NUM_EXTRA_ROUNDS, known=comparison)
    return judge(comparison)


def judge(comparison: Comparison) -> Finding:
    """Say whether steered neighbours showed.

    Raises:
        NotCheckedError: The engine's own rounding hides what a leak would do.
    """
    figures = {
        "requests": len(comparison.baseline[0]),
        "rounds": len(comparison.baseline),
        "baseline_differing": comparison.num_baseline_differing,
        "outside_baseline": comparison.num_outside,
        "baseline_deviation": comparison.noise,
        "deviation": comparison.deviation,
        "effect_of_steering": comparison.effect,
    }
    if not comparison.effect:
        raise NotCheckedError("steering changes nothing in these requests, so a leak of it would not show")
    if not comparison.num_outside:
        return Finding("every output beside steered neighbours is one the baseline gave, bit for bit", None, figures)
    if comparison.noise == 0.0:
        fault = f"steered neighbours changed an unsteered request; {comparison.first_difference}"
        return Finding("outputs beside steered and unsteered neighbours", fault, figures)
    if comparison.noise > VISIBLE * comparison.effect:
        raise NotCheckedError(
            f"unsteered batches differ among themselves by {comparison.noise:.3g} in log-probability, which would hide "
            f"a leak of steering (its effect is {comparison.effect:.3g}); start the server batch-invariant"
        )
    if comparison.deviation > SLACK * comparison.noise:
        fault = (
            f"steered neighbours moved an unsteered request by {comparison.deviation:.3g} in log-probability, "
            f"unsteered ones only by {comparison.noise:.3g}; {comparison.first_difference}"
        )
        return Finding("outputs beside steered and unsteered neighbours", fault, figures)
    return Finding("within the engine's own rounding, which batches without steering show too", None, figures)


def _compare(examination: Examination, num_rounds: int, known: Comparison | None = None) -> Comparison:
    steering = {"edits": examination.strong_edits}
    baseline, mixed = [], []
    for index in range(num_rounds):
        baseline.append(_round(examination, index, neighbours=False))
        mixed.append(_round(examination, index, neighbours=steering))
    effect = known.effect if known else _effect(examination, steering)
    before = known or Comparison((), (), effect)
    return Comparison((*before.baseline, *baseline), (*before.mixed, *mixed), effect)


def _round(examination: Examination, index: int, *, neighbours: object) -> tuple[Sample, ...]:
    """Send watched requests and neighbours together; every round begins with a cold prefix cache."""
    salt = new_nonce()
    watched = [_question(examination, text, salt) for text in _watched(examination)]
    others = [_question(examination, marked(f"{index}{index}", text), salt, steering=neighbours) for text in NEIGHBOURS]
    together = [question for pair in zip(watched, others, strict=True) for question in pair]
    return tuple(examination.probe.ask_together(together)[::2])


def _watched(examination: Examination) -> list[str]:
    return [marked(f"{examination.nonce}{index}", TEXTS[index % len(TEXTS)]) for index in range(NUM_WATCHED)]


def _question(examination: Examination, prompt: str, salt: str, *, steering: object = False) -> Question:
    return Question(
        prompt=prompt,
        steering=steering,
        max_tokens=examination.max_tokens,
        has_fixed_length=True,
        cache_salt=salt,
    )


def _effect(examination: Examination, steering: object) -> float:
    prompt = _watched(examination)[0]
    unsteered = examination.probe.ask(_question(examination, prompt, new_nonce()))
    steered = examination.probe.ask(_question(examination, prompt, new_nonce(), steering=steering))
    return steered.deviation(unsteered)
