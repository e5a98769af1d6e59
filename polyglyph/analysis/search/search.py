"""The search: from stats and a benchmark's development half to plans, rules and a policy in a folder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyglyph import __version__
from polyglyph.analysis.evaluation.benchmark import Benchmark
from polyglyph.analysis.evaluation.item import Item
from polyglyph.analysis.evaluation.plan_set import Pair
from polyglyph.analysis.rules.rule import ANY_SOURCE
from polyglyph.analysis.scoring.matching import MATCHERS
from polyglyph.analysis.search.asking import Asker
from polyglyph.analysis.search.auto import RuleTrial, try_rules
from polyglyph.analysis.search.bands import bands_of
from polyglyph.analysis.search.candidate import Candidate, Planner
from polyglyph.analysis.search.direction import DirectionKind, Operation, field_of
from polyglyph.analysis.search.errors import SearchError
from polyglyph.analysis.search.finalists import Final, Finalist, fit_pairs, hold_final
from polyglyph.analysis.search.frequencies import script_frequencies
from polyglyph.analysis.search.objective import Bench, Judge
from polyglyph.analysis.search.sample import Sample, development_of, final_of, sample_of
from polyglyph.analysis.search.space import SOURCED, Space
from polyglyph.analysis.search.study import Course, TrialRecord, run_study
from polyglyph.clients.profile.asking import first_model
from polyglyph.contract.exports.loaded import LoadedStats
from polyglyph.contract.plan import Plan, Provenance

if TYPE_CHECKING:
    from polyglyph.clients.async_client import AsyncPolyglyph


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a search goes.

    Attributes:
        num_trials: Trials, the unsteered one included.
        num_items: Development items that a trial is asked.
        num_finalists: Trials that are asked every development aim.
        directions: Which may be tried.
        operations: What may be done with a direction.
        guard_weight: What a lost guard costs, against a mended aim.
        fits_pairs: Whether every pair gets strengths of its own in the end.
        makes_rules: Whether rules for `auto` are fitted.
        seed: Of the sample and the sampler.
        concurrency: Requests in flight at once.
    """

    num_trials: int = 48
    num_items: int = 360
    num_finalists: int = 5
    directions: tuple[DirectionKind, ...] = SOURCED
    operations: tuple[Operation, ...] = (Operation.ADD_STD,)
    guard_weight: float = 0.1
    fits_pairs: bool = False
    makes_rules: bool = True
    seed: int = 0
    concurrency: int = 64


@dataclass(frozen=True, eq=False, kw_only=True)
class Outcome:
    """What a search found.

    Attributes:
        plans: By pair; empty where nothing beats no steering.
        away: Plans that need no source, by query script.
        rules: Tried rules, best first; empty without plans.
        left_out: By rule's name, why it could not be had.
        trials: Every trial.
        final: The finalists.
        factors: Of each pair's strengths.
        facts: What it was all done with, as plain JSON types.
    """

    plans: Mapping[Pair, Plan]
    away: Mapping[str, Plan]
    rules: tuple[RuleTrial, ...]
    left_out: Mapping[str, str]
    trials: tuple[TrialRecord, ...]
    final: Final
    factors: Mapping[Pair, float]
    facts: Mapping[str, Any]


async def search(
    client: "AsyncPolyglyph",
    benchmark: Benchmark,
    stats: LoadedStats,
    folder: Path,
    options: Options,
    *,
    tag: str | None = None,
    resumes: bool = False,
    watch: Callable[[TrialRecord], None],
    say: Callable[[str], None],
) -> Outcome:
    """Search for plans; nothing but development items is asked, and nothing but `trials.db` is written.

    Args:
        client: The server that is asked.
        benchmark: Its development half is used.
        stats: Of text in every script of that half, unsteered.
        folder: An existing folder, for the trials.
        options: How.
        tag: Of the groups of the stats to use; None for all.
        resumes: Go on with the trials that the folder holds.
        watch: Called after every trial.
        say: Called with a line before every stage.

    Raises:
        SearchError: The stats, the benchmark or the folder cannot be used.
        PolyglyphError: The server cannot be used.
    """
    judge = judge_of(benchmark)
    model = await client.model()
    development = development_of(benchmark, seed=options.seed)
    frequencies = script_frequencies(stats, development.scripts, model=model.binding, tag=tag)
    bands = bands_of(frequencies.information_L)
    space = Space(
        bands=bands,
        directions=options.directions,
        operations=options.operations,
        max_experts=model.binding.top_k,
    )
    served = await client.send(first_model())
    bench = Bench(
        asker=Asker(client, benchmark.header, model=served, concurrency=options.concurrency),
        planner=Planner(frequencies=frequencies, bands=bands, model=model.binding),
        judge=judge,
        pairs=development.pairs,
    )
    facts = _facts(benchmark, bench, space, options, information=frequencies.information_L.tolist())
    say(f"trying {options.num_trials} candidates on {options.num_items} development items")
    records = await run_study(
        folder,
        bench,
        sample_of(development, num_items=options.num_items),
        space,
        Course(num_trials=options.num_trials, seed=options.seed, guard_weight=options.guard_weight),
        settings=facts,
        resumes=resumes,
        watch=watch,
    )
    asked = final_of(development)
    say(f"asking {len(asked.aims)} aims and {len(asked.guards)} guards of the development half under the best")
    final = await hold_final(
        bench, asked, records, num_finalists=options.num_finalists, guard_weight=options.guard_weight
    )
    factors = await _factors(bench, asked, final, fits_pairs=options.fits_pairs)
    maker = _Maker(bench, final, facts, factors, num_trials=len(records))
    plans = maker.plans()
    away = maker.away() if plans else {}
    rules: list[RuleTrial] = []
    left_out: dict[str, str] = {}
    if plans and options.makes_rules:
        say("fitting the rules of 'auto' and trying them out of fold")
        rules, left_out = await try_rules(
            bench,
            development,
            asked,
            final.unsteered,
            fields={pair: field_of(plan) for pair, plan in plans.items()},
            away=away,
            model=model.binding,
            guard_weight=options.guard_weight,
        )
    return Outcome(
        plans=plans,
        away=away,
        rules=tuple(rules),
        left_out=left_out,
        trials=tuple(records),
        final=final,
        factors=factors,
        facts=facts,
    )


def judge_of(benchmark: Benchmark) -> Judge:
    """Give what judges a benchmark's answers.

    Raises:
        SearchError: Its scorer is a model, which would judge every answer of every trial.
    """
    scorer = benchmark.header.scorer
    if scorer == "judge":
        raise SearchError(
            f"benchmark {benchmark.header.name} is scored by a judge, which a search cannot ask for every trial: give "
            "its header another scorer (exact, normalised, contains) to search with"
        )
    matcher = MATCHERS[scorer]

    def judge(item: Item, text: str) -> bool:
        return matcher(text, item.answers)

    return judge


async def _factors(bench: Bench, development: Sample, final: Final, *, fits_pairs: bool) -> dict[Pair, float]:
    if final.chosen is None or not fits_pairs or final.chosen.candidate.operation is not Operation.ADD_STD:
        return dict.fromkeys(bench.pairs, 1.0)
    return await fit_pairs(bench, development, final.chosen)


@dataclass(frozen=True, eq=False)
class _Maker:
    """Makes the plans of what was chosen, with where they come from."""

    bench: Bench
    final: Final
    facts: Mapping[str, Any]
    factors: Mapping[Pair, float]
    num_trials: int

    def plans(self) -> dict[Pair, Plan]:
        chosen = self.final.chosen
        return {} if chosen is None else {pair: self._plan(chosen, pair) for pair in self._edited(chosen)}

    def away(self) -> dict[str, Plan]:
        away = self.final.away
        if away is None:
            return {}
        queries = dict.fromkeys(query for query, _ in self._edited(away))
        return {query: self._plan(away, (query, ANY_SOURCE)) for query in queries}

    def _edited(self, finalist: Finalist) -> list[Pair]:
        """Give the pairs that are not routed alike."""
        planner = self.bench.planner
        return [pair for pair in self.bench.pairs if planner.edits(finalist.candidate, pair)]

    def _plan(self, finalist: Finalist, pair: Pair) -> Plan:
        candidate = finalist.candidate.scaled(self.factors.get(pair, 1.0))
        return self.bench.planner.plan(candidate, pair, provenance=self._provenance(finalist, candidate, pair))

    def _provenance(self, finalist: Finalist, candidate: Candidate, pair: Pair) -> Provenance:
        one = None if pair[1] == ANY_SOURCE else pair
        return Provenance(
            method=f"{candidate.kind} of selection frequencies by token script, {candidate.operation}; found by search",
            created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            stats_sha256=self.bench.planner.frequencies.stats_sha256,
            tool=f"polyglyph {__version__}",
            evaluation={
                "half": "development",
                "benchmark": self.facts["benchmark"],
                "benchmark_sha256": self.facts["benchmark_sha256"],
                "parameters": candidate.to_json(),
                "unsteered": self.final.unsteered.to_json(one),
                "steered": finalist.measured.to_json(one),
                "all_pairs": {"unsteered": self.final.unsteered.to_json(), "steered": finalist.measured.to_json()},
                "trials": self.num_trials,
                "seed": self.facts["seed"],
                "search_space": self.facts["space"],
            },
        )


def _facts(
    benchmark: Benchmark, bench: Bench, space: Space, options: Options, *, information: list[float]
) -> dict[str, Any]:
    """Give what a search is of; a search can be resumed with the same only, but for the number of trials."""
    return {
        "benchmark": benchmark.header.name,
        "benchmark_sha256": benchmark.sha256,
        "model_fingerprint": bench.planner.model.fingerprint,
        "stats_sha256": bench.planner.frequencies.stats_sha256,
        "space": space.to_json(),
        "script_information": [round(value, 4) for value in information],
        "items": options.num_items,
        "guard_weight": options.guard_weight,
        "seed": options.seed,
    }
