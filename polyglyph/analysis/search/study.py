"""The study: Optuna's trials over the space, one rung of the sample after another, kept in a file that outlives us."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyglyph.analysis.search.candidate import Candidate
from polyglyph.analysis.search.errors import SearchError
from polyglyph.analysis.search.objective import NOTHING, Bench, Measured
from polyglyph.analysis.search.sample import Sample
from polyglyph.analysis.search.space import Space

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

FILE_NAME = "trials.db"
STUDY_NAME = "search"
SETTINGS, AIMS, GUARDS = "settings", "aims", "guards"
RUNGS = (1 / 3, 2 / 3, 1.0)
"""Shares of the sample after which a trial that falls behind is given up."""
NUM_RANDOM = 10
"""Trials before the sampler models what it has seen, the recipes included."""
NUM_BEFORE_PRUNING = 6


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial that ended.

    Attributes:
        number: From 0; trial 0 is no steering.
        candidate: What was tried; None for no steering.
        value: The objective on what was asked.
        is_whole: Whether the whole sample was asked; a trial that fell behind was given up.
        aims: Right and asked aims.
        guards: Right and asked guards.
    """

    number: int
    candidate: Candidate | None
    value: float
    is_whole: bool
    aims: tuple[int, int]
    guards: tuple[int, int]

    def to_json(self) -> dict[str, Any]:
        """Give it as plain JSON types."""
        return {
            "trial": self.number,
            "parameters": None if self.candidate is None else self.candidate.to_json(),
            "objective": round(self.value, 5),
            "whole_sample": self.is_whole,
            "cross_script": {"right": self.aims[0], "asked": self.aims[1]},
            "guards": {"right": self.guards[0], "asked": self.guards[1]},
        }


@dataclass(frozen=True, kw_only=True)
class Course:
    """How a study goes.

    Attributes:
        num_trials: The unsteered one included.
        seed: Of the sampler.
        guard_weight: Of the objective.
    """

    num_trials: int
    seed: int
    guard_weight: float


async def run_study(
    folder: Path,
    bench: Bench,
    sample: Sample,
    space: Space,
    course: Course,
    *,
    settings: Mapping[str, Any],
    resumes: bool,
    watch: Callable[[TrialRecord], None],
) -> list[TrialRecord]:
    """Run the trials that are still to be run, and give all of them in order.

    A trial's choice depends on the seed, its number and the trials before it only: a search that was killed and
    resumed goes on as it would have.

    Args:
        folder: Where `trials.db` is kept.
        bench: Tries candidates.
        sample: What each is tried on.
        space: What may be chosen.
        course: How many trials, and by which seed.
        settings: What must be the same to resume, as plain JSON types.
        resumes: Whether trials that are there already count.
        watch: Called after every trial.

    Raises:
        SearchError: The folder holds a search, and this is not to resume it, or it was another one.
    """
    from optuna import create_study, logging
    from optuna.pruners import MedianPruner
    from optuna.storages import RDBStorage

    logging.set_verbosity(logging.WARNING)
    path = folder / FILE_NAME
    if path.exists() and not resumes:
        raise SearchError(f"{folder} holds a search already: give --resume to go on with it, or another folder")
    with closing(_Storage(RDBStorage(f"sqlite:///{path.absolute()}"))) as opened:
        study = create_study(
            study_name=STUDY_NAME,
            storage=opened.storage,
            direction="maximize",
            pruner=MedianPruner(n_startup_trials=NUM_BEFORE_PRUNING, n_warmup_steps=0),
            load_if_exists=True,
        )
        _check_same(study, settings, folder)
        _forget_unfinished(study)
        return await _Run(bench, sample, space, course, study).run(watch)


class _Storage:
    """Gives Optuna's storage the end that it has under another name."""

    def __init__(self, storage: Any) -> None:
        self.storage = storage

    def close(self) -> None:
        self.storage.remove_session()
        self.storage.engine.dispose()


class _Run:
    def __init__(self, bench: Bench, sample: Sample, space: Space, course: Course, study: "Study") -> None:
        self._bench, self._sample, self._space, self._course, self._study = bench, sample, space, course, study

    async def run(self, watch: Callable[[TrialRecord], None]) -> list[TrialRecord]:
        unsteered = await self._bench.measure(None, self._sample)
        records = self._ended()
        for record in records:
            watch(record)
        while len(records) < self._course.num_trials:
            number = len(records)
            trial = self._ask(number)
            record = await self._steered(trial, number, unsteered) if number else self._unsteered(trial, unsteered)
            records.append(record)
            watch(record)
        return records

    def _ask(self, number: int) -> "Trial":
        from optuna.samplers import TPESampler

        # A sampler of its own for every trial, so that a resumed study draws what an uninterrupted one would have.
        seed = int.from_bytes(sha256(f"{self._course.seed} {number}".encode()).digest()[:4], "big")
        self._study.sampler = TPESampler(n_startup_trials=NUM_RANDOM, seed=seed)
        recipes = self._space.recipes()
        if 0 < number <= len(recipes):
            self._study.enqueue_trial(recipes[number - 1])
        return self._study.ask()

    def _unsteered(self, trial: "Trial", unsteered: Measured) -> TrialRecord:
        for step, share in enumerate(RUNGS):
            trial.report(unsteered.of(self._sample.part(0.0, share)).value(unsteered, guard_weight=0.0), step)
        return self._tell(trial, _record(0, None, unsteered, self._value(unsteered, unsteered), is_whole=True))

    async def _steered(self, trial: "Trial", number: int, unsteered: Measured) -> TrialRecord:
        candidate = self._space.suggest(trial)
        measured = NOTHING
        for step, share in enumerate(RUNGS):
            part = self._sample.part(RUNGS[step - 1] if step else 0.0, share)
            measured = measured.joined(await self._bench.measure(candidate, part))
            value = self._value(measured, unsteered)
            trial.report(value, step)
            if share < 1.0 and trial.should_prune():
                return self._tell(trial, _record(number, candidate, measured, value, is_whole=False))
        return self._tell(trial, _record(number, candidate, measured, value, is_whole=True))

    def _value(self, measured: Measured, unsteered: Measured) -> float:
        return measured.value(unsteered, guard_weight=self._course.guard_weight)

    def _tell(self, trial: "Trial", record: TrialRecord) -> TrialRecord:
        from optuna.trial import TrialState

        trial.set_user_attr(AIMS, list(record.aims))
        trial.set_user_attr(GUARDS, list(record.guards))
        if record.is_whole:
            self._study.tell(trial, record.value)
        else:
            self._study.tell(trial, state=TrialState.PRUNED)
        return record

    def _ended(self) -> list[TrialRecord]:
        from optuna.trial import TrialState

        states = (TrialState.COMPLETE, TrialState.PRUNED)
        trials = self._study.get_trials(deepcopy=False, states=states)
        return [self._again(number, trial) for number, trial in enumerate(trials)]

    def _again(self, number: int, trial: "FrozenTrial") -> TrialRecord:
        """Read back a trial; unfinished ones between have numbers of their own in Optuna, but none here."""
        from optuna.trial import FixedTrial, TrialState

        is_whole = trial.state is TrialState.COMPLETE
        value = trial.value if is_whole else trial.intermediate_values[trial.last_step or 0]
        return TrialRecord(
            number=number,
            candidate=self._space.suggest(FixedTrial(trial.params)) if trial.params else None,
            value=float(value or 0.0),
            is_whole=is_whole,
            aims=_pair(trial.user_attrs[AIMS]),
            guards=_pair(trial.user_attrs[GUARDS]),
        )


def _record(
    number: int, candidate: Candidate | None, measured: Measured, value: float, *, is_whole: bool
) -> TrialRecord:
    return TrialRecord(
        number=number,
        candidate=candidate,
        value=value,
        is_whole=is_whole,
        aims=(sum(measured.aims.values()), len(measured.aims)),
        guards=(sum(measured.guards.values()), len(measured.guards)),
    )


def _pair(numbers: Sequence[int]) -> tuple[int, int]:
    first, second = numbers
    return first, second


def _check_same(study: "Study", settings: Mapping[str, Any], folder: Path) -> None:
    """Refuse to go on with a search of something else, whose trials would not be comparable."""
    before = study.user_attrs.get(SETTINGS)
    if before is None:
        study.set_user_attr(SETTINGS, dict(settings))
        return
    differing = sorted(name for name in {*before, *settings} if before.get(name) != settings.get(name))
    if differing:
        name = differing[0]
        raise SearchError(
            f"{folder} holds a search with another {name}: {_short(before.get(name))}, not "
            f"{_short(settings.get(name))}; use the same, or another folder"
        )


def _forget_unfinished(study: "Study") -> None:
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING)):
        study.tell(trial.number, state=TrialState.FAIL)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
