"""A search finds what works on development items, says so when nothing does, and goes on where it was cut off."""

import asyncio
import json
import shutil

import pytest
from optuna.trial import FixedTrial

from polyglyph.analysis.evaluation.plan_set import load_plan_set
from polyglyph.analysis.rules.rule_file import load_rules
from polyglyph.analysis.search.asking import Asked, Asker
from polyglyph.analysis.search.bands import Band, Bands
from polyglyph.analysis.search.direction import DirectionKind, Operation
from polyglyph.analysis.search.errors import SearchError, TestItemError
from polyglyph.analysis.search.finalists import _factor
from polyglyph.analysis.search.folder import check_folder, report_of, write_outcome
from polyglyph.analysis.search.lines import lines_of
from polyglyph.analysis.search.objective import Measured, wrong_pair
from polyglyph.analysis.search.sample import check_development, development_of, sample_of
from polyglyph.analysis.search.search import Options, judge_of, search
from polyglyph.analysis.search.space import Space
from polyglyph.contract.policy import load_policy
from tests.analysis.search_world import SCRIPTS, DiedError, LittleServer, benchmark, stats

PAIRS = {(query, source) for query in SCRIPTS for source in SCRIPTS if query != source}
OPTIONS = Options(num_trials=8, num_items=40, num_finalists=2, concurrency=8)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """One search from end to end, its folder and the server it asked."""
    folder, server = tmp_path_factory.mktemp("search"), LittleServer()
    outcome = asyncio.run(found(server, folder))
    write_outcome(outcome, folder)
    return outcome, folder, server


async def found(server, folder, options=OPTIONS, *, resumes=False, seen=None, **given):
    folder.mkdir(exist_ok=True)
    async with server.client() as client:
        return await search(
            client,
            given.get("benchmark", server.benchmark),
            given.get("stats", stats()),
            folder,
            options,
            resumes=resumes,
            watch=(seen if seen is not None else []).append,
            say=lambda line: None,
        )


def test_a_plan_that_carries_every_pair_is_found_and_written(done):
    outcome, folder, _ = done
    plans = load_plan_set(folder, scripts=SCRIPTS).plans
    assert set(plans) == PAIRS
    chosen = outcome.final.chosen
    assert sum(chosen.measured.aims.values()) > 0.9 * len(chosen.measured.aims)
    evaluation = plans["Cyrl", "Latn"].provenance.evaluation
    assert evaluation["half"] == "development"
    assert evaluation["steered"]["cross_script"]["asked"] == 10
    assert evaluation["trials"] == 8
    assert plans["Cyrl", "Latn"].provenance.stats_sha256 == stats().digest


def test_no_test_item_is_ever_asked(done):
    _, _, server = done
    halves = {item.id: item.half for item in server.benchmark.items}
    assert {halves[item] for item in server.asked} == {"development"}
    assert {item for item, half in halves.items() if half == "development"} == set(server.asked)


async def test_a_test_item_is_refused_before_anything_is_sent():
    server = LittleServer()
    item = next(item for item in server.benchmark.items if item.half == "test")
    async with server.client() as client:
        asker = Asker(client, server.benchmark.header, model="little", concurrency=1)
        with pytest.raises(TestItemError, match=item.id):
            await asker.texts([Asked(item)])
    assert not server.asked


def test_an_item_without_a_half_is_no_development_item():
    item = benchmark().items[0].model_copy(update={"half": None})
    with pytest.raises(TestItemError):
        check_development([item])


async def test_that_nothing_is_better_than_no_steering_is_a_result(tmp_path):
    outcome = await found(LittleServer(is_deaf=True), tmp_path)
    write_outcome(outcome, tmp_path)
    assert outcome.final.chosen is None
    assert [path.name for path in tmp_path.rglob("*.json")] == ["search.json"]
    assert json.loads((tmp_path / "search.json").read_text())["chosen"] is None
    assert any("no plan is better" in line for line in lines_of(outcome))


async def test_a_search_that_was_cut_off_goes_on_as_it_would_have(done, tmp_path):
    whole, _, _ = done
    with pytest.raises(DiedError):
        await found(LittleServer(dies_after=170), tmp_path / "cut")
    again = []
    resumed = await found(LittleServer(), tmp_path / "cut", resumes=True, seen=again)
    assert [trial.to_json() for trial in resumed.trials] == [trial.to_json() for trial in whole.trials]
    assert len(again) == 8


async def test_a_finished_search_asks_no_trial_again(done, tmp_path):
    _, folder, _ = done
    copied = shutil.copytree(folder, tmp_path / "copied")
    server = LittleServer()
    again = await found(server, copied, Options(**{**OPTIONS.__dict__, "makes_rules": False}), resumes=True)
    num_asked_each = len(server.asked) / len(set(server.asked))
    assert len(again.trials) == 8
    assert num_asked_each < 8


@pytest.mark.parametrize("changed", [{"seed": 1}, {"num_items": 50}, {"operations": (Operation.BAN,)}])
async def test_a_search_is_not_resumed_as_another(tmp_path, changed):
    short = Options(**{**OPTIONS.__dict__, "num_trials": 2, "makes_rules": False})
    await found(LittleServer(), tmp_path, short)
    with pytest.raises(SearchError, match="another"):
        await found(LittleServer(), tmp_path, Options(**{**short.__dict__, **changed}), resumes=True)


async def test_a_search_may_be_given_more_trials(tmp_path):
    short = Options(**{**OPTIONS.__dict__, "num_trials": 3, "makes_rules": False})
    await found(LittleServer(), tmp_path, short)
    more = await found(LittleServer(), tmp_path, Options(**{**short.__dict__, "num_trials": 5}), resumes=True)
    assert len(more.trials) == 5


@pytest.mark.parametrize("operation", list(Operation))
async def test_every_operation_can_be_searched(tmp_path, operation):
    options = Options(num_trials=3, num_items=20, num_finalists=1, operations=(operation,), makes_rules=False)
    outcome = await found(LittleServer(is_deaf=True), tmp_path, options)
    assert {trial.candidate.operation for trial in outcome.trials[1:]} == {operation}


async def test_every_pair_may_get_strengths_of_its_own(tmp_path):
    options = Options(**{**OPTIONS.__dict__, "fits_pairs": True, "makes_rules": False})
    outcome = await found(LittleServer(), tmp_path, options)
    assert set(outcome.factors) == PAIRS


def test_rules_and_policy_are_written_for_what_reads_them(done):
    outcome, folder, _ = done
    rules = {rule.name: rule for rule in load_rules(folder / "rules.json")}
    policy = load_policy(folder / "auto.policy.json")
    assert set(rules) == {"entities", "probe", "away"}
    assert set(policy.scripts) == set(SCRIPTS)
    names = {target.plan for target in policy.targets().values()}
    written = {path.name.removesuffix(".plan.json") for path in folder.rglob("*.plan.json")}
    assert names <= written
    best = outcome.rules[0]
    assert best.guess_rate == 1.0
    assert sum(best.measured.aims.values()) == sum(outcome.final.chosen.measured.aims.values())


def test_files_of_an_earlier_end_are_gone(done, tmp_path):
    outcome, _, _ = done
    (tmp_path / "latn-to-deva.plan.json").write_text("{}")
    write_outcome(outcome, tmp_path)
    assert not (tmp_path / "latn-to-deva.plan.json").exists()
    assert report_of(outcome)["trials"][0]["parameters"] is None


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"stats": stats(scripts=("Cyrl", "Latn"))}, "Geor"),
        ({"benchmark": benchmark(seed=3).model_copy(update={"items": ()})}, "no development item"),
    ],
)
async def test_what_cannot_be_searched_is_refused(tmp_path, given, text):
    server = LittleServer()
    with pytest.raises(SearchError, match=text):
        await found(server, tmp_path, **given)
    assert not server.asked


def test_a_judge_cannot_score_a_search():
    made = benchmark()
    judged = made.model_copy(update={"header": made.header.model_copy(update={"scorer": "judge"})})
    with pytest.raises(SearchError, match="judge"):
        judge_of(judged)


@pytest.mark.parametrize(
    ("files", "resumes", "text"),
    [
        ({"x": ""}, False, "not empty: name a new"),
        ({"trials.db": ""}, False, "--resume"),
        ({"profile.parquet": ""}, False, "--resume"),
        ({}, True, "no search"),
        ({"x": ""}, True, "no search"),
    ],
)
def test_a_folder_that_is_not_the_searchs_is_refused(tmp_path, files, resumes, text):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(SearchError, match=text):
        check_folder(tmp_path, resumes=resumes)


def test_a_search_that_was_cut_off_before_its_first_trial_goes_on(tmp_path):
    (tmp_path / "profile.parquet").write_text("")
    check_folder(tmp_path, resumes=True)


def test_a_new_folder_is_made(tmp_path):
    check_folder(tmp_path / "a" / "b", resumes=False)
    assert (tmp_path / "a" / "b").is_dir()


def test_any_beginning_of_a_sample_is_spread_over_the_pairs():
    development = development_of(benchmark(), seed=0)
    sample = sample_of(development, num_items=36)
    assert {item.pair for item in sample.part(0.0, 0.2).aims} == PAIRS
    assert len(sample.aims) + len(sample.guards) == 36
    parts = [sample.part(0.0, 1 / 3), sample.part(1 / 3, 2 / 3), sample.part(2 / 3, 1.0)]
    assert [item for part in parts for item in part.aims] == list(sample.aims)
    assert [item for part in parts for item in part.guards] == list(sample.guards)


def test_a_guard_is_steered_by_a_plan_of_its_query_script():
    guards = development_of(benchmark(), seed=0).guards
    drawn = {wrong_pair(item, sorted(PAIRS)) for item in guards if item.target_script == "Latn"}
    assert drawn == {("Latn", "Cyrl"), ("Latn", "Geor")}


@pytest.mark.parametrize(
    ("rates", "factor"),
    [
        ({0.7: 0.5, 1.0: 0.5, 1.4: 0.5}, 1.0),
        ({0.7: 0.52, 1.0: 0.5, 1.4: 0.4}, 1.0),
        ({0.7: 0.6, 1.0: 0.5, 1.4: 0.6}, 1.4),
        ({0.5: 0.6, 0.7: 0.6, 1.0: 0.5}, 0.7),
    ],
)
def test_a_pair_gets_strengths_of_its_own_only_for_a_clear_gain(rates, factor):
    assert _factor(rates) == factor


def test_lost_guards_cost_and_won_ones_pay_nothing():
    before = Measured(aims={}, guards={"a": True, "b": False}, pairs={})

    def value(*guards):
        after = Measured(aims={"x": True, "y": False}, guards=dict(zip("ab", guards, strict=True)), pairs={})
        return after.value(before, guard_weight=0.4)

    assert value(True, False) == 0.5
    assert value(False, False) == pytest.approx(0.3)
    assert value(True, True) == 0.5


@pytest.mark.parametrize("present", [(0, 1, 2), (1,), (0, 2)])
def test_every_recipe_is_a_point_of_the_space(present):
    layers = {band: (index,) if index in present else () for index, band in enumerate(Band)}
    space = Space(bands=Bands(layers), directions=tuple(DirectionKind))
    for recipe in space.recipes():
        candidate = space.suggest(FixedTrial(recipe))
        assert candidate.kind in DirectionKind
        assert all(layers[band] for band in candidate.strengths)
    sourced = Space(bands=Bands(layers)).recipes()
    assert DirectionKind.AWAY not in {recipe["direction"] for recipe in sourced}
    assert len(space.band_sets) == 2 ** len(present) - 1
