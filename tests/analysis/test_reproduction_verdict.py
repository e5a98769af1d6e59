"""Verdicts of reproductions: what thresholds make of figures, and parts of a claim of one another."""

import pytest

from polyglyph.analysis.reproduction.paper import Paper, Threshold
from polyglyph.analysis.reproduction.part import Part, verdict_of
from polyglyph.analysis.reproduction.record import Reproduced, record_of
from polyglyph.analysis.statistics.figure import Estimate, Missing

PAPER = Paper(name="a paper", arxiv="0000.00000", method="contrast", claim="It holds.")
NOTHING = Missing("nothing was asked")


def threshold(bound, limit, *, interval=False):
    return Threshold(name="figure", words="a figure", bound=bound, limit=limit, judges_interval=interval)


def part(value, *, decides=True, over=None):
    figure = NOTHING if value is None else Estimate(value, (value, value))
    return Part(
        name="a setting",
        thresholds=(threshold("at least", 0.5),),
        figures={"figure": figure},
        decides=decides,
        over_random=over,
    )


@pytest.mark.parametrize(
    ("bound", "limit", "interval", "reached"),
    [
        ("at least", 0.97, False, True),
        ("at least", 0.98, False, False),
        ("at least", 0.97, True, False),
        ("above", 0.97, False, False),
        ("above", 0.9, True, True),
        ("below", 0.98, False, True),
        ("below", 0.98, True, False),
        ("below", 0.97, False, False),
    ],
)
def test_a_threshold_judges_the_value_or_the_whole_interval(bound, limit, interval, reached):
    assert threshold(bound, limit, interval=interval).is_reached(Estimate(0.97, (0.95, 0.99))) is reached


def test_a_figure_that_is_missing_reaches_no_threshold_and_misses_none():
    assert threshold("at least", 0.5).is_reached(NOTHING) is None


def test_one_missed_threshold_settles_a_part_even_where_another_cannot_be_judged():
    thresholds = (threshold("at least", 0.5), Threshold(name="other", words="", bound="below", limit=0.1))
    missed = Part(name="", thresholds=thresholds, figures={"figure": NOTHING, "other": Estimate(0.2, (0.2, 0.2))})
    unjudged = Part(name="", thresholds=thresholds, figures={"figure": NOTHING, "other": Estimate(0.05, (0.0, 0.1))})
    assert (missed.is_reached, unjudged.is_reached) == (False, None)


@pytest.mark.parametrize(
    ("parts", "verdict"),
    [
        ([part(0.9), part(0.8)], "reached"),
        ([part(0.9), part(0.1)], "in part"),
        ([part(0.1), part(0.2)], "not reached"),
        ([part(0.9), part(None)], "not judged"),
        ([], "not judged"),
    ],
)
def test_a_verdict_is_of_all_parts_that_decide(parts, verdict):
    assert verdict_of(parts) == verdict


def test_a_part_told_beside_decides_nothing():
    assert verdict_of([part(0.9), part(0.1, decides=False)]) == "reached"
    assert verdict_of([part(0.1), part(0.9, decides=False)]) == "not reached"


@pytest.mark.parametrize(
    ("intervals", "beats"),
    [
        ([(0.1, 0.3), (0.2, 0.4)], "yes"),
        ([(0.1, 0.3), (-0.1, 0.4)], "in part"),
        ([(-0.1, 0.3)], "no"),
        ([(-0.3, -0.1)], "no"),
        ([], "not judged"),
    ],
)
def test_a_method_beats_random_where_the_whole_interval_is_above_zero(intervals, beats):
    parts = [part(0.9, over=Estimate(sum(each) / 2, each)) for each in intervals]
    assert Reproduced(paper=PAPER, parts=parts).beats_random == beats


def test_a_record_holds_figures_thresholds_and_the_run():
    reproduced = Reproduced(paper=PAPER, parts=[part(0.9), part(None, decides=False)], tried=["two variants"])
    record = record_of("made", reproduced, {"seconds": 1.0})
    assert record["schema"] == "polyglyph.reproduction/1"
    assert record["thresholds"]["figure"]["limit"] == 0.5
    assert record["parts"][0]["figures"]["figure"] == {"value": 0.9, "bootstrap_95": [0.9, 0.9]}
    assert record["parts"][1]["figures"]["figure"] == {"cannot_be_computed": "nothing was asked"}
    assert (record["verdict"], record["run"], record["tried"]) == ("reached", {"seconds": 1.0}, ["two variants"])
