"""An evaluation from beginning to end: what is asked, in which ways, and the answers in a folder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyglyph.analysis.evaluation.answer import Answer
from polyglyph.analysis.evaluation.arm import Arm, ArmKind
from polyglyph.analysis.evaluation.arms import ALL, ANY_PAIR, Arms, Choice, Materials, make_arms
from polyglyph.analysis.evaluation.asking import Asking
from polyglyph.analysis.evaluation.benchmark import Benchmark
from polyglyph.analysis.evaluation.fields import Steerable
from polyglyph.analysis.evaluation.frequencies import measure_frequencies
from polyglyph.analysis.evaluation.guessing import Guessing
from polyglyph.analysis.evaluation.item import Item
from polyglyph.analysis.evaluation.job import jobs_of
from polyglyph.analysis.evaluation.log import ANSWERS, Log
from polyglyph.analysis.evaluation.plan_set import PlanSet, fetch_plan_set, load_plan_set
from polyglyph.analysis.evaluation.ranking import Ranker, rankable
from polyglyph.analysis.evaluation.run_record import (
    ArmRecord,
    BenchmarkRecord,
    Frequencies,
    RunRecord,
    check_folder,
    hardware,
    now,
    versions_of,
)
from polyglyph.analysis.evaluation.runner import Runner
from polyglyph.analysis.evaluation.selection import Half, chosen_items
from polyglyph.analysis.evaluation.sender import Sender
from polyglyph.clients.profile.asking import first_model
from polyglyph.clients.profile.stop import Stop
from polyglyph.contract.base import digest
from polyglyph.contract.policy import Policy

if TYPE_CHECKING:
    import numpy as np

    from polyglyph.analysis.rules.rule import Rule
    from polyglyph.clients.async_client import AsyncPolyglyph

DEFAULT_PATIENCE_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a benchmark is run.

    Attributes:
        choice: The arms.
        half: Which items: parameters are chosen on `development` and reported on `test`.
        limit: Items at most; whole entities are taken.
        plans: A folder of plans, or a pattern of the server's plan names; None takes the server's that are named after
            scripts.
        allows_missing_pairs: Ask items of pairs without a plan unsteered.
        seed: Of the order of requests and of sampling.
        concurrency: Requests in flight at once.
        patience_s: How long to go on trying while nothing answers.
        rank_facts: Facts whose candidates are ranked, for RankC; None for none.
        rules_sha256: Of the file of rules.
        judge: What names the judge, where one judges.
    """

    choice: Choice = field(default_factory=Choice)
    half: Half = "test"
    limit: int | None = None
    plans: str | None = None
    allows_missing_pairs: bool = False
    seed: int = 0
    concurrency: int = 32
    patience_s: float = DEFAULT_PATIENCE_S
    rank_facts: int | None = None
    rules_sha256: str | None = None
    judge: str | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a run came to.

    Attributes:
        record: What it is.
        items: What was asked.
        arms: How.
        left_out: Arms that `all` does not hold here, with the reason.
        num_answers: In the log.
        is_finished: Every job has its answer.
    """

    record: RunRecord
    items: tuple[Item, ...]
    arms: tuple[Arm, ...]
    left_out: dict[str, str]
    num_answers: int
    is_finished: bool


async def evaluate(
    client: "AsyncPolyglyph",
    benchmark: Benchmark,
    folder: Path,
    settings: Settings,
    *,
    argument: str = "",
    rules: Sequence["Rule"] = (),
    resumes: bool = False,
    stop: Stop | None = None,
    watch: Callable[[int, int], None] | None = None,
) -> Run:
    """Ask every item of a benchmark in the way of every arm, and keep the answers.

    Args:
        client: The server.
        benchmark: What is asked.
        folder: Gets `run.json` and `answers.jsonl`; new, empty, or with `resumes` an earlier run's.
        settings: How.
        argument: What the user called the benchmark.
        rules: Rules that guess source scripts, for `auto` arms.
        resumes: Go on with the run in the folder: what has its answer is not asked again.
        stop: Ends the run early.
        watch: Called with the answers there are and those that are due.

    Raises:
        EvaluationRefusedError: The benchmark, the plans, the arms or the folder are not what they should be; nothing
            of the benchmark was asked.
        ServerUnreachableError: Nothing answered for longer than the patience; the run can go on.
        EvaluationFailedError: The server failed, or did not steer as asked.
        PolyglyphError: The server refuses a request.
    """
    stop = stop or Stop()
    earlier = check_folder(folder, resumes=resumes)
    items = chosen_items(benchmark, half=settings.half, limit=settings.limit)
    steerable, plan_set = await _look_at_server(client, items, settings)
    asking = Asking(model=await client.send(first_model()), header=benchmark.header, seed=settings.seed)
    sender = Sender(client, stop, patience_s=settings.patience_s)
    frequencies = earlier.frequencies if earlier else None
    if frequencies is None and _needs_frequencies(settings.choice, plan_set):
        frequencies = await measure_frequencies(sender, asking, benchmark.items, concurrency=settings.concurrency)
    policy = await client.policy.get()
    materials = Materials(
        items=items,
        prompts=benchmark.header.prompts,
        plan_set=plan_set,
        steerable=steerable,
        rules=rules,
        has_policy=bool(policy.rules()),
        frequencies_LE=_array(frequencies),
    )
    made = make_arms(settings.choice, materials)
    _check_pairs(made, items, plan_set, settings)
    fingerprints = {arm.name: _fingerprints(arm, steerable, policy) for arm in made.arms}
    record = RunRecord(
        benchmark=_benchmark_record(benchmark, items, argument),
        half=settings.half,
        limit=settings.limit,
        arms=tuple(ArmRecord.of(arm, fingerprints[arm.name]) for arm in made.arms),
        seed=settings.seed,
        model=steerable.model.binding,
        versions=versions_of(steerable.model),
        engine=steerable.model.engine.model_dump(mode="json"),
        hardware=hardware(),
        created=earlier.created if earlier else now(),
        frequencies=frequencies,
        rank_facts=settings.rank_facts,
        rules_sha256=settings.rules_sha256,
        judge=settings.judge,
    )
    if earlier is not None:
        record.check_goes_on(earlier, folder)
    else:
        record.write(folder)
    jobs = jobs_of(items, made.arms, benchmark.header.prompts, seed=settings.seed)
    with Log(folder / ANSWERS, Answer) as log:
        runner = Runner(
            asking,
            sender,
            Guessing(rules, asking, sender.send),
            log,
            fingerprints=fingerprints,
            stop=stop,
            watch=(lambda number: watch(number, len(jobs))) if watch else None,
        )
        await runner.run(jobs, concurrency=settings.concurrency)
        num_answers = len(log.done)
    is_finished = not runner.was_cut
    if is_finished and settings.rank_facts is not None:
        ranker = Ranker(asking, sender, stop, fingerprints=fingerprints)
        ranked = rankable(items, num_facts=settings.rank_facts, seed=settings.seed)
        is_finished = await ranker.rank(ranked, made.arms, folder, concurrency=settings.concurrency, watch=watch)
    return Run(
        record=earlier or record,
        items=items,
        arms=made.arms,
        left_out=dict(made.left_out),
        num_answers=num_answers,
        is_finished=is_finished,
    )


async def _look_at_server(
    client: "AsyncPolyglyph", items: Sequence[Item], settings: Settings
) -> tuple[Steerable, PlanSet]:
    model = await client.model()
    registered = {entry.fingerprint: entry.name for entry in await client.plans.list() if entry.fits_model}
    scripts = {script for item in items for script in item.pair}
    folder = _folder_of(settings.plans)
    if folder is not None:
        plan_set = load_plan_set(folder, scripts=scripts)
    else:
        plan_set = await fetch_plan_set(client, settings.plans, scripts=scripts)
    return Steerable(model=model, registered=registered), plan_set


def _folder_of(plans: str | None) -> Path | None:
    """Tell a folder of plans from a pattern of names on the server."""
    return Path(plans) if plans is not None and Path(plans).is_dir() else None


def _needs_frequencies(choice: Choice, plan_set: PlanSet) -> bool:
    is_named = any(name == ALL or name.startswith(ArmKind.RANDOM.value) for name in choice.names)
    return is_named and choice.num_draws > 0 and bool(plan_set.plans)


def _array(frequencies: Frequencies | None) -> "np.ndarray[Any, Any] | None":
    if frequencies is None:
        return None
    import numpy as np

    return np.array(frequencies, dtype=np.float64)


def _check_pairs(made: Arms, items: Sequence[Item], plan_set: PlanSet, settings: Settings) -> None:
    is_steered = any(arm.steering.keys() & plan_set.plans.keys() for arm in made.arms)
    if is_steered and not settings.allows_missing_pairs:
        plan_set.check_covers({item.pair for item in items if item.is_cross})


def _fingerprints(arm: Arm, steerable: Steerable, policy: Policy) -> dict[tuple[str, str], str]:
    """Give what each pair's field stands for: the fingerprint of its edits, or the digest of the server's policy."""
    return {
        pair: digest(policy.to_json()) if pair == ANY_PAIR else steerable.fingerprint_of(steering)
        for pair, steering in arm.steering.items()
    }


def _benchmark_record(benchmark: Benchmark, items: Sequence[Item], argument: str) -> BenchmarkRecord:
    return BenchmarkRecord(
        name=benchmark.header.name,
        argument=argument,
        sha256=benchmark.sha256,
        scorer=benchmark.header.scorer,
        num_items=len(items),
        num_entities=len({item.entity for item in items}),
    )
