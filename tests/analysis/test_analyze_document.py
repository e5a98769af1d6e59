"""The numbers of a report: what they are for evidence made by hand, and what stands where one does not exist."""

import json
import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyglyph.analysis.evidence.errors import EvidenceError
from polyglyph.analysis.report import analyse
from polyglyph.analysis.statistics.wilson import Score
from tests.analysis.evidence_world import OTHER, counts_of, parallel_counts, shape, stats_of
from tests.analysis.report_world import BANDS, labelled_run, stats_file, sums
from tests.support.many_experts import SCRIPTS, many_experts

TWO = {
    "Latn": [[0.9, 0.1, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5], [0.8, 0.0, 0.6, 0.6]],
    "Cyrl": [[0.1, 0.9, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5], [0.0, 0.8, 0.6, 0.6]],
}


def numbers_of(value):
    """Give every number of a document, however deep."""
    if isinstance(value, dict):
        return [number for part in value.values() for number in numbers_of(part)]
    if isinstance(value, list):
        return [number for part in value for number in numbers_of(part)]
    return [value] if isinstance(value, float) else []


def is_missing(cell):
    return isinstance(cell, dict) and set(cell) == {"cannot_be_computed"}


def test_frequencies_and_lifts_are_matrices_of_layers_and_experts():
    document = analyse(sums(TWO)).document
    assert document["frequencies"]["Latn"] == TWO["Latn"]
    assert document["lift"]["groups"]["Latn"][0] == pytest.approx([math.log2(1.8), math.log2(0.2), 0, 0], rel=1e-5)


def test_an_expert_that_a_group_never_selects_has_no_lift_and_the_document_says_what_null_means():
    document = analyse(sums(TWO)).document
    assert document["lift"]["groups"]["Latn"][2][1] is None
    assert document["lift"]["null_means"] == "never selected"


def test_signatures_are_keyed_by_groups_and_counted_by_band():
    document = analyse(sums(TWO)).document
    assert document["bands"] == {"early": [0], "middle": [1], "late": [2]}
    assert document["signatures"] == {
        "Latn": {"early": 1, "middle": 0, "late": 1},
        "Cyrl": {"early": 1, "middle": 0, "late": 1},
    }


def test_every_proper_subset_of_eight_groups_has_its_signature_under_sorted_names():
    document = analyse_stats(many_experts(layers=4, experts=16, top_k=2, tokens=10**6))
    keys = {",".join(names) for size in range(1, 8) for names in combinations(SCRIPTS, size)}
    assert set(document["signatures"]) == keys
    assert len(keys) == 254
    assert all(tuple(counts) == BANDS for counts in document["signatures"].values())


def analyse_stats(stats):
    from polyglyph.analysis.evidence.stats_counts import read_counts_of_stats

    return analyse(read_counts_of_stats(stats)).document


def test_above_ten_groups_single_ones_pairs_and_named_sets_are_tried():
    generator = np.random.default_rng(0)
    many = {f"G{index:02d}": generator.dirichlet(np.ones(6), size=2) for index in range(12)}
    named = {"four": ("G00", "G01", "G02", "G03")}
    document = analyse(sums(many, tokens=10**6, top_k=1), named=named).document
    assert len(document["signatures"]) == 12 + 66 + 1
    assert "G00,G01,G02,G03" in document["signatures"]


def test_layers_have_divergence_information_entropy_and_load():
    layer = analyse(sums(TWO)).document["layers"][1]
    assert layer["js_mean"] == layer["information"] == 0
    assert layer["js"] == {"Cyrl,Latn": 0}
    assert layer["entropy_bits"] == {"Cyrl": 2, "Latn": 2}
    assert layer["load"] == {"jain": 1, "max_over_mean": 1, "dormant": 0, "jain_by_group": {"Cyrl": 1, "Latn": 1}}


def test_the_difference_of_sums_counts_tokens_and_says_that_this_is_too_optimistic():
    pair = analyse(sums(TWO)).document["differences"]["Cyrl,Latn"]
    assert (pair["of"], pair["unit"], pair["num_units"]) == (["Cyrl", "Latn"], "token", 2000)
    assert "too small" in pair["warning"]
    assert pair["significant"] == {"all": 4, "early": 2, "middle": 0, "late": 2}
    first = pair["top"][0]
    assert (first["layer"], first["expert"], first["difference"]) == (0, 0, -0.8)
    assert first["interval_95"][0] < -0.8 < first["interval_95"][1] < 0


def test_the_difference_of_parallel_items_counts_items_and_has_their_divergence():
    first, second = np.ones((2, 6)), np.ones((2, 6))
    first[:, 0] = second[:, 1] = 60.0
    document = analyse(parallel_counts(first, second, num_items=12), pairs=[("Latn", "Cyrl")]).document
    pair = document["differences"]["Cyrl,Latn"]
    assert (pair["of"], pair["unit"], pair["num_units"]) == (["Latn", "Cyrl"], "item", 12)
    assert {(row["layer"], row["expert"]) for row in pair["top"][:4]} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert pair["entropy_normalised_divergence"]["items"] == 12
    means = [layer["entropy_normalised_divergence"] for layer in document["layers"]]
    assert means == [row["value"] for row in pair["entropy_normalised_divergence"]["by_layer"]]


def test_a_pair_is_kept_in_the_order_it_was_asked_for():
    document = analyse(sums(TWO), pairs=[("Latn", "Cyrl")]).document
    assert document["differences"]["Cyrl,Latn"]["top"][0]["difference"] == 0.8


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([("Latn", "Grek")], "'Grek'"),
        ([("Latn", "Latn")], "'Latn' twice"),
        ([("Latn", "Cyrl"), ("Cyrl", "Latn")], "Cyrl and Latn again"),
    ],
)
def test_a_pair_that_cannot_be_compared_is_refused_by_name(pairs, words):
    with pytest.raises(EvidenceError, match=words):
        analyse(sums(TWO), pairs=pairs)


def test_of_many_groups_the_largest_is_compared_with_each_other():
    generator = np.random.default_rng(0)
    many = {f"G{index:02d}": generator.dirichlet(np.ones(6), size=2) for index in range(11)}
    document = analyse(sums(many, tokens=10**6, top_k=1)).document
    assert len(document["differences"]) == 10
    assert all("G00" in key for key in document["differences"])


@pytest.mark.parametrize(
    "counts",
    [
        pytest.param(sums({"Latn": TWO["Latn"]}), id="one script"),
        pytest.param(sums({"Latn": [[1.0, 1.0]], "Cyrl": [[1.0, 1.0]]}), id="k = E"),
        pytest.param(sums({"Latn": [[1.0, 0.0], [0, 0]], "Cyrl": [[0.0, 1.0], [0, 0]]}), id="a layer never routed"),
        pytest.param(sums({"Latn": [[1.0, 0.0]], "Cyrl": [[1.0, 0.0]]}), id="one expert only"),
        pytest.param(sums({"Latn": [[0.0, 0.0]], "Cyrl": [[0.0, 0.0]]}, top_k=1), id="nothing routed"),
        pytest.param(sums({"Latn": [[1.0]], "Cyrl": [[1.0]]}), id="a single expert"),
        pytest.param(sums({"Latn": [[1.0, 0.0]], "Cyrl": [[0.0, 1.0]]}, tokens=1), id="one token"),
        pytest.param(sums(TWO, tokens=2**50), id="huge counts"),
    ],
)
def test_no_evidence_makes_a_number_that_is_none(counts):
    document = analyse(counts).document
    text = json.dumps(document, allow_nan=False)
    assert all(math.isfinite(number) for number in numbers_of(json.loads(text)))


def test_of_one_script_everything_that_compares_says_why_it_is_missing():
    document = analyse(sums({"Latn": TWO["Latn"]})).document
    for part in ("lift", "differences", "signatures", "shared", "clusters", "confounders", "copies"):
        assert is_missing(document[part]), part
    assert all(is_missing(layer["js_mean"]) and is_missing(layer["information"]) for layer in document["layers"])
    assert document["groups"]["Latn"]["entropy_bits"] > 0


def test_a_layer_that_was_never_routed_has_reasons_and_a_note():
    document = analyse(sums({"Latn": [[1.0, 0.0], [0, 0]], "Cyrl": [[0.0, 1.0], [0, 0]]})).document
    assert is_missing(document["layers"][1]["js_mean"])
    assert is_missing(document["layers"][1]["load"]["jain"])
    assert document["layers"][0]["js_mean"] == 1
    assert any(note.startswith("Layers 1 routed no token") for note in document["notes"])


def test_where_every_token_selects_every_expert_a_note_says_that_routing_tells_nothing():
    document = analyse(sums({"Latn": [[1.0, 1.0]], "Cyrl": [[1.0, 1.0]]})).document
    assert any("k = E" in note for note in document["notes"])
    assert "no frequency can exceed" in document["shared"]["cannot_be_computed"]


def rows(*labels):
    model = shape(layers=1, experts=2, top_k=1)
    return counts_of([[[3, 1]]] * len(labels), [4] * len(labels), list(labels), model=model, has_sequences=False)


def test_tokens_without_a_script_are_in_no_group_but_in_the_load():
    document = analyse(rows({"script": "Latn"}, {"script": "Cyrl"}, {"script": "Zyyy"})).document
    assert set(document["groups"]) == {"Latn", "Cyrl"}
    assert document["evidence"]["left_out"] == {"Zyyy": 4}
    assert document["evidence"]["tokens"] == 12
    assert "4 Zyyy" in document["notes"][0]


def test_a_group_of_which_no_token_was_computed_is_named_and_not_counted():
    keys = [(script, script, "prompt", "", "") for script in ("Latn", "Cyrl", "Arab")]
    model = shape(layers=1, experts=4, top_k=2)
    counted = [(key, 4, np.full((1, 4), 2)) for key in keys[:2]]
    document = analyse_stats(stats_of(*counted, (keys[2], 0, np.zeros((1, 4))), model=model))
    assert list(document["groups"]) == ["Cyrl", "Latn"]
    assert document["evidence"]["without_tokens"] == ["Arab"]
    assert any("No token was computed of Arab" in note for note in document["notes"])


def test_tokens_without_a_script_are_a_group_where_they_are_asked_for():
    counts = rows({"script": "Latn"}, {"script": "Zyyy"})
    assert set(analyse(counts, where={"script": ["Latn", "Zyyy"]}).document["groups"]) == {"Latn", "Zyyy"}


def test_steered_tokens_are_noted_and_can_be_left_out():
    counts = rows({"script": "Latn"}, {"script": "Cyrl"}, {"script": "Cyrl", "plan": OTHER})
    assert any("4 of these tokens were steered" in note for note in analyse(counts).document["notes"])
    document = analyse(counts, where={"plan": ["none"]}).document
    assert document["groups"]["Cyrl"]["tokens"] == 4
    assert not any("steered" in note for note in document["notes"])


def test_groups_can_be_told_apart_by_any_columns_together():
    counts = rows({"script": "Latn", "tag": "a"}, {"script": "Latn", "tag": "b"}, {"script": "Cyrl", "tag": ""})
    document = analyse(counts, by=("script", "tag")).document
    assert document["by"] == ["script", "tag"]
    assert set(document["groups"]) == {"Latn/a", "Latn/b", "Cyrl/none"}
    assert "Latn/a,Latn/b" in document["differences"]


def test_files_of_two_models_are_refused(tmp_path):
    one = stats_file(tmp_path / "1.parquet", (("Latn", "Latn", "prompt", "", ""), 1, [[1, 1, 0, 0], [1, 1, 0, 0]]))
    model = shape(fingerprint=OTHER)
    group = (("Latn", "Cyrl", "prompt", "", ""), 1, [[1, 1, 0, 0], [1, 1, 0, 0]])
    other = stats_file(tmp_path / "2.parquet", group, model=model)
    with pytest.raises(EvidenceError, match="expected the model sha256:aaaa"):
        analyse([one, other])


def test_files_of_one_model_add_up(tmp_path):
    paths = [
        stats_file(
            tmp_path / f"{script}.parquet", (("Latn", script, "prompt", "", ""), 1, [[1, 1, 0, 0], [1, 1, 0, 0]])
        )
        for script in ("Latn", "Cyrl")
    ]
    document = analyse(paths).document
    assert document["evidence"]["files"] == ["Latn.parquet", "Cyrl.parquet"]
    assert set(document["groups"]) == {"Latn", "Cyrl"}


def test_frequencies_of_sums_have_wilsons_interval():
    intervals = analyse(sums(TWO, tokens=200)).findings.intervals
    low, high = Score(180, 200).interval
    index = 1
    assert intervals.unit == "token"
    assert (intervals.low_GLE[index, 0, 0], intervals.high_GLE[index, 0, 0]) == pytest.approx((low, high))


def test_the_interval_of_a_lift_is_about_as_wide_as_what_drawing_tokens_anew_gives():
    generator = np.random.default_rng(1)
    a_G, tokens = np.array([0.3, 0.1]), 400
    draws = generator.binomial(tokens, a_G, size=(20_000, 2)) / tokens
    spread = np.log2(draws[:, 0] / draws.mean(axis=1)).std()
    found = analyse(sums({"Latn": [[0.3, 0.7]], "Cyrl": [[0.1, 0.9]]}, tokens=tokens)).findings.intervals
    half = (found.lift_high_GLE[1, 0, 0] - found.lift_low_GLE[1, 0, 0]) / 2
    assert half == pytest.approx(1.96 * spread, rel=0.05)


def test_where_items_differ_the_intervals_are_wider_than_those_of_as_many_tokens():
    items = [{"item": str(item), "sequence": str(item), "script": "Latn"} for item in range(20)]
    selected = [[[10, 0] if item % 2 else [0, 10]] for item in range(20)]
    counts = counts_of(selected, [10] * 20, items, model=shape(1, 2, 1))
    found = analyse(counts).findings.intervals
    low, high = Score(10, 20).interval
    assert found.unit == "item"
    assert found.low_GLE[0, 0, 0] == pytest.approx(low, abs=0.02)
    assert found.high_GLE[0, 0, 0] == pytest.approx(high, abs=0.02)


def test_of_one_item_there_is_no_interval():
    items = [{"item": "1", "sequence": "1", "script": script} for script in ("Latn", "Cyrl")]
    found = analyse(counts_of([[[1, 3]], [[3, 1]]], [4, 4], items, model=shape(1, 2, 1))).findings.intervals
    assert np.isnan(found.low_GLE).all()
    assert np.isnan(found.lift_high_GLE).all()


def test_a_tag_of_many_requests_in_one_script_is_no_item():
    labels = [{"item": "corpus", "tag": "corpus", "sequence": f"{index}/0", "script": "Latn"} for index in range(5)]
    report = analyse(counts_of([[[index, 4 - index]] for index in range(5)], [4] * 5, labels, model=shape(1, 2, 1)))
    assert any("each sequence is one" in note for note in report.document["notes"])
    assert np.isfinite(report.findings.intervals.low_GLE).all()


def test_a_labelled_run_has_confounders_tokens_co_activation_and_pathways(tmp_path):
    document = analyse(labelled_run(tmp_path / "run")).document
    assert document["confounders"]["parallel_items"] == 6
    assert document["confounders"]["tokens_per_item"] == {"Cyrl": 12, "Latn": 12}
    assert document["confounders"]["bytes_per_item"]["Cyrl"] > document["confounders"]["bytes_per_item"]["Latn"]
    assert 0 < document["confounders"]["token_overlap"]["Cyrl,Latn"]["jaccard"] < 1
    traces = document["traces"]
    assert traces["tokens"] == 144
    assert traces["are_all"]
    between, within = traces["pathways"]["distance"][0][1], traces["pathways"]["distance"][0][0]
    assert between > within > 0
    assert {token["script"] for token in traces["top_tokens"]["0:0"]} == {"Latn"}
    assert all(0 < share <= 1 for shares in traces["co_activation"].values() for share in shares.values())


def test_sums_have_no_tokens_and_say_that_traces_would():
    traces = analyse(sums(TWO)).document["traces"]
    assert all("needs traces" in traces[part]["cannot_be_computed"] for part in ("top_tokens", "pathways"))


def test_traces_of_another_model_are_refused(tmp_path):
    run = labelled_run(tmp_path / "run")
    with pytest.raises(EvidenceError, match="expected the model"):
        analyse(sums(TWO), traces=run)


@given(
    st.lists(
        st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=2, max_size=2), min_size=1, max_size=4
    )
)
def test_any_counts_make_a_document_without_nan(selected):
    counts = counts_of(
        selected,
        [9] * len(selected),
        [{"script": f"G{index}"} for index in range(len(selected))],
        model=shape(2, 3, 2),
        has_sequences=False,
    )
    json.dumps(analyse(counts).document, allow_nan=False)
