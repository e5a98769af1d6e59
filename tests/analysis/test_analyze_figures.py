"""The figures of a report: in files that do not change, with a mask that does not hang on colour, and in notebooks."""

import numpy as np
import pytest

from polyglyph.analysis.evidence.errors import EvidenceError
from polyglyph.analysis.report import analyse
from polyglyph.analysis.report.figures.drawing import DASHES, LINES, SIGNED, file_of
from tests.analysis.report_world import labelled_run, sums
from tests.analysis.test_analyze_document import TWO


def struck(figure):
    """Give how many cells of a map are struck out."""
    (axes, *_) = figure.axes
    return sum(len(collection.get_segments()) for collection in axes.collections if hasattr(collection, "get_segments"))


def test_a_figure_is_the_same_file_whenever_it_is_drawn():
    report = analyse(sums(TWO))
    for kind in ("svg", "png"):
        assert file_of(report.figure("lift-Latn"), kind) == file_of(report.figure("lift-Latn"), kind)


def test_what_was_never_selected_is_struck_out_on_the_map_of_lift():
    assert struck(analyse(sums(TWO)).figure("lift-Latn")) == 1


def test_what_is_not_significant_is_struck_out_on_the_map_of_differences():
    report = analyse(sums(TWO))
    (pair,) = report.findings.pairs.pairs
    not_significant = int((~pair.comparison.is_significant()).sum())
    assert struck(report.figure("difference-Cyrl-Latn")) == not_significant == 8


def test_signed_maps_have_zero_in_the_middle_of_a_scale_of_two_colours():
    image = analyse(sums(TWO)).figure("difference-Cyrl-Latn").axes[0].images[0]
    low, high = image.get_clim()
    assert low == -high
    assert image.get_cmap().name == SIGNED
    middle = np.array(image.get_cmap()(0.5)[:3])
    assert middle.min() > 0.9


def test_lines_differ_in_their_dashes_as_well_as_in_colour():
    many = {f"G{index:02d}": np.full((3, 4), 0.25) for index in range(16)}
    lines = analyse(sums(many, top_k=1)).figure("layers").axes[2].lines
    styles = {(line.get_color(), repr(line._dash_pattern)) for line in lines}
    assert len(lines) == len(styles) == 16
    assert len(set(LINES)) == len(LINES) == len(DASHES)


def test_figures_of_tokens_are_there_where_traces_are(tmp_path):
    report = analyse(labelled_run(tmp_path / "run"))
    assert {"pathways", "co-activation"} <= set(report.figures)
    assert not {"pathways", "co-activation"} & set(analyse(sums(TWO)).figures)
    for name in report.figures:
        assert file_of(report.figure(name), "svg").startswith(b"<?xml")


def test_a_figure_without_numbers_says_why():
    figure = analyse(sums({"Latn": TWO["Latn"]})).figure("clusters")
    assert "needs two groups or more" in figure.axes[0].texts[0].get_text().replace("\n", " ")


def test_an_unknown_figure_is_refused_with_the_names_of_those_there_are():
    with pytest.raises(EvidenceError, match="lift-Latn"):
        analyse(sums(TWO)).figure("lift-Grek")


def test_a_notebook_shows_groups_and_figures_without_a_script_or_a_network():
    shown = analyse(sums(TWO))._repr_html_()
    assert "Latn" in shown
    assert shown.count("data:image/png;base64,") == 5
    assert "<script" not in shown
    assert "http" not in shown


def test_names_of_groups_are_text_in_a_notebook():
    shown = analyse(sums({"<b>x": TWO["Latn"], "y": TWO["Cyrl"]}))._repr_html_()
    assert "<b>x" not in shown
    assert "&lt;b&gt;x" in shown
