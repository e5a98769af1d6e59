"""`identify clusters`: the experts of a group as a set, and what is refused."""

import numpy as np
import pytest
from typer.testing import CliRunner

from polyglyph.analysis.evidence.stats_counts import read_counts_of_stats
from polyglyph.analysis.identification.clusters import identify
from polyglyph.analysis.identification.commands import app
from polyglyph.analysis.identification.errors import IdentificationError
from polyglyph.contract.expert_set import load_expert_set
from polyglyph.contract.exports.writing import save_stats
from tests.analysis.evidence_world import shape, stats_of
from tests.clients.fake_server import plan_of

LAYERS, EXPERTS, TOP_K = 2, 8, 2
SCRIPTS = ("Cyrl", "Deva", "Latn")


def stats(*, scripts=SCRIPTS):
    """Each script selects an expert of its own, and half of the time one of two that all share."""
    groups = []
    for number, script in enumerate(scripts):
        selected_LE = np.zeros((LAYERS, EXPERTS), np.int64)
        selected_LE[:, number] = 100
        selected_LE[:, 6:] = 50
        groups.append(((script, script, "prompt", "", ""), 100, selected_LE))
    return stats_of(*groups, model=shape(LAYERS, EXPERTS, TOP_K))


def test_the_cluster_of_a_group_holds_its_own_experts_of_every_layer():
    found = identify(read_counts_of_stats(stats()), "script", ["Deva"])
    assert set(found.chosen) == {(0, 1), (1, 1)}
    assert found.experts is not None
    assert set(found.experts.weights.values()) == {1.0}


def test_what_all_groups_select_alike_is_a_cluster_too():
    found = identify(read_counts_of_stats(stats()), "script", [])
    assert set(found.chosen) == {(layer, expert) for layer in range(LAYERS) for expert in (6, 7)}


def test_layers_can_be_named():
    assert identify(read_counts_of_stats(stats()), "script", ["Deva"], layers=[1]).chosen == ((1, 1),)


def test_experts_that_were_never_selected_are_in_no_cluster_and_have_no_share():
    table = identify(read_counts_of_stats(stats()), "script", ["Deva"]).table
    idle = table.filter((table["expert"] == 4) & (table["layer"] == 0)).row(0, named=True)
    assert idle["cluster"] == -1
    assert idle["score"] is None


def test_a_cluster_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(IdentificationError, match=r"expected a cluster of Cyrl, Deva, got clusters of .*all alike"):
        identify(read_counts_of_stats(stats()), "script", ["Cyrl", "Deva"])


def test_of_one_group_nothing_can_be_told_apart():
    with pytest.raises(IdentificationError, match="two groups or more by script, got Cyrl"):
        identify(read_counts_of_stats(stats(scripts=("Cyrl",))), "script", ["Cyrl"])


def test_the_command_writes_an_expert_set_that_a_server_takes(tmp_path):
    path, model = tmp_path / "stats.parquet", tmp_path / "any.plan.json"
    made = stats()
    save_stats(made.snapshot(), path, format="parquet")
    binding = {"layers": LAYERS, "experts": EXPERTS, "top_k": TOP_K, "fingerprint": made.header.model_fingerprint}
    plan = plan_of("any").model_copy(update={"edits": ()})
    bound = plan.model_copy(update={"model": plan.model.model_copy(update=binding)})
    model.write_text(bound.model_dump_json(by_alias=True, exclude_none=True))
    words = ["clusters", str(path), "--of", "Latn", "-o", str(tmp_path / "latn.experts.json"), "--bind", str(model)]
    outcome = CliRunner().invoke(app, words)
    assert outcome.exit_code == 0, outcome.output
    experts = load_expert_set(tmp_path / "latn.experts.json")
    assert {entry.layer: tuple(entry.experts) for entry in experts.experts} == {0: (2,), 1: (2,)}
    assert not experts.guard
