"""Super experts: one that was planted is found, and that there is none is a result."""

import numpy as np
import pytest
import torch

from polyglyph.analysis.identification.errors import NothingChosenError
from polyglyph.analysis.identification.super_experts import Thresholds, identify
from polyglyph.analysis.identification.writing import write_identified
from polyglyph.analysis.offline.examples import Example
from polyglyph.analysis.offline.offline_model import read_model
from polyglyph.contract.expert_set import load_expert_set
from tests.support.tiny_architectures import EXPERTS, VOCAB, tiny


def texts_of(num_texts=4, *, tokens=40):
    ids = np.random.default_rng(0).integers(3, VOCAB, (num_texts, tokens)).tolist()
    return [Example(tuple(row), tokens, str(index)) for index, row in enumerate(ids)]


def planted(name, layer, expert):
    model = tiny(name)
    experts = read_model(model).layers[layer].experts
    with torch.no_grad():
        experts.down_proj[expert] *= 100
        if hasattr(experts, "down_proj_bias"):
            experts.down_proj_bias[expert] *= 100
    return read_model(model)


@pytest.mark.parametrize(("name", "layer"), [("Qwen3Moe", 1), ("Mixtral", 0), ("DeepseekV3", 0), ("GptOss", 1)])
def test_a_planted_super_expert_is_found_and_no_other(name, layer):
    found = identify(planted(name, layer, 5), texts_of())
    assert found.chosen == ((layer, 5),)
    assert found.table["expert"][0] == 5 and found.table["score"][0] > 10 * found.table["score"][EXPERTS]


def test_it_is_written_as_a_guard_that_reads_back(tmp_path):
    found = identify(planted("Mixtral", 0, 5), texts_of())
    path = tmp_path / "guard.experts.json"
    write_identified(found, [path])
    guard = load_expert_set(path)
    assert guard.guard
    assert [(entry.layer, entry.experts) for entry in guard.experts] == [(0, (5,))]
    assert guard.model == found.model


def test_one_in_the_last_quarter_of_the_layers_does_not_count(tmp_path):
    found = identify(planted("Mixtral", 2, 5), texts_of(), Thresholds(share_of_layers=0.5))
    assert found.chosen == ()
    assert "no super expert: the largest output" in found.notes[-1]
    assert "is expert 5's of layer 2" in found.notes[-1]


def test_without_a_super_expert_the_table_is_written_and_a_guard_refused(tmp_path):
    found = identify(planted("Mixtral", 2, 5), texts_of(), Thresholds(share_of_layers=0.5))
    table = tmp_path / "sizes.csv"
    assert write_identified(found, [table]) == [table]
    assert len(table.read_text().splitlines()) == 1 + 3 * EXPERTS
    with pytest.raises(NothingChosenError, match="no super expert"):
        write_identified(found, [tmp_path / "guard.experts.json"])


def test_experts_that_computed_nothing_are_null_and_said():
    found = identify(read_model(tiny("Mixtral")), texts_of(1, tokens=1))
    assert found.table["score"].null_count() == 3 * (EXPERTS - 2)
    assert found.table.filter(found.table["tokens"] == 0)["chosen"].sum() == 0
    assert "18 experts computed no token" in found.notes[0]
