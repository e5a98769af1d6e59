"""What papers claim, as data: every reproduction states its own, and the numbers are the papers'."""

import inspect
import re
from importlib import import_module

import pytest

from polyglyph.analysis.reproduction import inconsistency, mote, premoe, rice, super_experts
from polyglyph.analysis.reproduction.errors import ReproductionError
from polyglyph.analysis.reproduction.paper import Paper
from polyglyph.analysis.reproduction.registry import ALL, NAMES, named, reproduction


@pytest.mark.parametrize("name", NAMES)
def test_a_reproduction_names_its_paper_and_what_is_claimed(name):
    paper = import_module(f"polyglyph.analysis.reproduction.{name.replace('-', '_')}").PAPER
    assert isinstance(paper, Paper)
    assert re.fullmatch(r"\d{4}\.\d{5}", paper.arxiv)
    assert paper.claim.endswith(".")
    assert inspect.iscoroutinefunction(reproduction(name))


def test_the_papers_thresholds_are_the_papers():
    limits = {
        threshold.name: (threshold.bound, threshold.limit)
        for module in (premoe, mote, inconsistency)
        for threshold in module.THRESHOLDS
        if threshold.source == "paper"
    }
    assert limits == {
        "kept": ("at least", 0.97),
        "random_kept": ("below", 0.97),
        "removed": ("at least", 0.52),
        "random_removed": ("below", 0.10),
        "broken": ("above", 0.40),
    }


def test_the_papers_settings_are_the_papers():
    assert premoe.KEEP == 0.5
    assert mote.TOP == 10
    assert (rice.TOP, rice.FACTOR) == (2, 64.0)
    assert super_experts.RATIO.limit == 10.0
    assert [top for top, _ in inconsistency.CHOICES.values()] == [20, 1, None]


def test_all_stands_for_every_reproduction_and_an_unknown_name_is_refused_with_those_there_are():
    assert named(ALL) == NAMES
    assert named("mote") == ("mote",)
    with pytest.raises(ReproductionError, match=r"premoe, mote, .* or all, got 'moet'"):
        named("moet")
