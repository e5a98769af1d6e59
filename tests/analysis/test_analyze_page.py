"""The page of a report, as a file: it holds everything, asks for nothing, and is not broken by what it shows."""

import base64
import hashlib
import json
import re
import zlib

import numpy as np
import pytest

from polyglyph.analysis.report import analyse
from polyglyph.analysis.report.page.arrays import packed
from tests.analysis.report_world import labelled_run, sums, tokenizer_file
from tests.analysis.test_analyze_document import TWO
from tests.support.many_experts import many_experts


def element(page, name):
    """Give the content of a script element by its id."""
    return re.search(rf'<script[^>]*id="{name}">(.*?)</script>', page, re.DOTALL)[1]


def unpacked(text):
    kind, shape, data = text.strip().split(";")
    dtype = {"f4": "<f4", "u1": "u1", "u2": "<u2", "u4": "<u4"}[kind]
    return np.frombuffer(zlib.decompress(base64.b64decode(data)), dtype).reshape([int(n) for n in shape.split(",")])


@pytest.fixture(scope="module")
def page():
    return analyse(sums(TWO)).html()


def test_the_page_names_no_address_and_loads_nothing(page):
    assert not re.search(r"https?:|//[a-z]+\.", page)
    assert not re.search(r"<(link|iframe|img|object|embed)\b", page)
    assert not re.search(r"\b(src|href)=\"(?!#)", page)
    assert "@import" not in page
    assert "url(" not in page


def test_the_policy_of_the_page_allows_its_own_script_and_style_and_nothing_else(page):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    script = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)[-1]
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)[1]
    for part in (script, style):
        assert f"'sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy


def test_the_page_holds_the_documents_numbers_and_the_matrices_as_arrays(page):
    report = analyse(sums(TWO))
    shown = json.loads(element(page, "document"))
    assert shown["signatures"] == report.document["signatures"]
    assert shown["layers"] == report.document["layers"]
    assert "frequencies" not in shown
    np.testing.assert_allclose(
        unpacked(element(page, "array-frequency")), report.findings.source.groups.frequencies_GLE
    )


def test_intervals_keep_four_significant_digits(page):
    low = analyse(sums(TWO)).findings.intervals.low_GLE
    np.testing.assert_allclose(unpacked(element(page, "array-low")), low, rtol=1e-4)


def test_an_array_is_little_endian_whatever_it_came_as():
    np.testing.assert_array_equal(unpacked(packed(np.arange(3, dtype=">u4"))), [0, 1, 2])


@pytest.mark.parametrize("name", ["</script><script>alert(1)</script>", "<!--", '"quoted"', "a & b", "\u2028"])
def test_names_from_outside_cannot_break_out_of_the_page(name):
    page = analyse(sums({name: TWO["Latn"], "other": TWO["Cyrl"]})).html()
    assert list(json.loads(element(page, "document"))["groups"])[0 if name < "other" else 1] == name
    assert "alert(1)</script>" not in page
    assert "<!--" not in page


def test_tokens_of_many_scripts_are_in_the_page_as_text_and_pieces_of_characters_as_bytes(tmp_path):
    report = analyse(labelled_run(tmp_path / "run"), tokenizer=tokenizer_file(tmp_path / "tokenizer.json"))
    tokens = {token["id"]: token for token in json.loads(element(report.html(), "document"))["page"]["tokens"]}
    assert tokens[0]["text"] == "漢字"
    assert tokens[1]["bytes"] == "E0 A4"
    assert tokens[0]["script"] == "Latn"


def test_a_page_of_a_large_model_stays_small():
    from polyglyph.analysis.evidence.stats_counts import read_counts_of_stats

    page = analyse(read_counts_of_stats(many_experts(tokens=10**6))).html()
    assert len(page.encode()) < 6_000_000
