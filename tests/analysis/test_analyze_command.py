"""The command line of a report: what it writes and prints, and what it refuses."""

import json
import time

import pytest
from typer.testing import CliRunner

from polyglyph.analysis.evidence.errors import EvidenceError
from polyglyph.analysis.report.commands import app
from polyglyph.clients.errors import UnwritableFileError
from polyglyph.contract.exports.writing import save_stats
from tests.analysis.evidence_world import OTHER, shape
from tests.analysis.report_world import labelled_run, stats_file
from tests.support.many_experts import many_experts

LATN = (("Latn", "Latn", "prompt", "", ""), 4, [[4, 2, 1, 1], [2, 2, 2, 2]])
CYRL = (("Latn", "Cyrl", "prompt", "", ""), 4, [[1, 1, 2, 4], [2, 2, 2, 2]])


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def stats(tmp_path):
    return stats_file(tmp_path / "stats.parquet", LATN, CYRL)


def test_the_page_is_written_and_nothing_else_is_printed_as_data(stats, tmp_path):
    result = run(stats, "-o", tmp_path / "report.html")
    assert result.exit_code == 0, result.exception
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    assert result.stdout == ""
    assert "it needs no network" in result.stderr.replace("\n", " ")


def test_json_is_the_document_alone(stats):
    result = run(stats, "--json")
    document = json.loads(result.stdout)
    assert document["schema"] == "polyglyph.analysis/1"
    assert document["groups"]["Latn"]["tokens"] == 4
    assert "too optimistic" in result.stderr.replace("\n", " ")


def test_without_a_file_or_json_a_table_is_printed(stats):
    assert "Cyrl" in run(stats).stdout


@pytest.mark.parametrize("name", ["stats.npz", "stats.csv", "stats.safetensors", "stats.json", "stats.arrow"])
def test_stats_of_any_format_are_read(tmp_path, name):
    from polyglyph.contract.exports.formats import format_of
    from tests.analysis.evidence_world import stats_of

    path = tmp_path / name
    save_stats(stats_of(LATN, CYRL).snapshot(), path, format=format_of(path))
    assert json.loads(run(path, "--json").stdout)["groups"].keys() == {"Latn", "Cyrl"}


def test_a_labelled_run_is_told_apart_by_a_label_of_its_own(tmp_path):
    run_folder = labelled_run(tmp_path / "run")
    document = json.loads(run(run_folder, "--json", "--by", "item", "--pair", "0:1").stdout)
    assert document["by"] == ["item"]
    assert list(document["differences"]) == ["0,1"]


def test_columns_are_written_with_a_hyphen_and_filters_with_commas(tmp_path):
    other = (("Cyrl", "Cyrl", "answer", OTHER, ""), 4, CYRL[2])
    path = stats_file(tmp_path / "stats.parquet", LATN, CYRL, other)
    document = json.loads(run(path, "--json", "--by", "request-script", "--where", "script=Cyrl,Latn").stdout)
    assert document["groups"].keys() == {"Latn", "Cyrl"}
    unsteered = json.loads(run(path, "--json", "--by", "phase", "--where", "plan=none").stdout)
    assert unsteered["groups"].keys() == {"prompt"}


def test_figures_are_written_as_svg_and_png(stats, tmp_path):
    result = run(stats, "--figures", tmp_path / "figures")
    assert result.exit_code == 0, result.exception
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    stems = {"layers", "load", "clusters", "lift-Latn", "lift-Cyrl", "difference-Cyrl-Latn"}
    assert names == {f"{stem}.{kind}" for stem in stems for kind in ("svg", "png")}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--pair", "Latn"), "expected A:B"),
        (("--pair", "Latn:Grek"), "'Grek'"),
        (("--group", "x"), "expected NAME=A+B"),
        (("--group", "x=Latn+Grek"), "'Grek'"),
        (("--where", "script"), "expected LABEL=VALUE"),
        (("--where", "script=Grek"), "script is Cyrl, Latn here"),
        (("--by", "colour"), "'colour'"),
        (("--tokenizer", "nowhere"), "tokenizer"),
        (("--traces", "nowhere"), "nowhere"),
        (("--labels", "nowhere"), "labels are for traces"),
        (("--top", "0"), "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name_and_nothing_is_written(stats, tmp_path, options, words):
    result = run(stats, "-o", tmp_path / "report.html", *options)
    said = f"{result.output} {result.exception}"
    assert result.exit_code != 0
    assert words in " ".join(said.replace("│", " ").split())
    assert not (tmp_path / "report.html").exists()


def test_a_file_that_is_no_evidence_is_refused_by_name(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("hello")
    result = run(path, "--json")
    assert isinstance(result.exception, EvidenceError)
    assert "notes.txt" in str(result.exception)


def test_stats_of_two_models_are_refused_with_both(tmp_path, stats):
    other = stats_file(tmp_path / "other.parquet", LATN, model=shape(fingerprint=OTHER))
    result = run(stats, other, "--json")
    assert isinstance(result.exception, EvidenceError)
    assert "sha256:aaaa" in str(result.exception)
    assert "sha256:bbbb" in str(result.exception)


def test_a_folder_that_is_not_there_is_refused_before_anything_is_read(tmp_path):
    result = run(tmp_path / "missing.parquet", "-o", tmp_path / "no" / "report.html")
    assert isinstance(result.exception, UnwritableFileError)


def test_a_report_that_fails_leaves_the_old_page_as_it_was(stats, tmp_path):
    page = tmp_path / "report.html"
    page.write_text("old")
    assert run(stats, "-o", page, "--pair", "Latn:Grek").exit_code != 0
    assert page.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("tokens", [10**3, 10**9])
def test_a_model_of_48_layers_and_128_experts_in_8_scripts_takes_seconds(tmp_path, tokens):
    path = tmp_path / "big.parquet"
    save_stats(many_experts(tokens=tokens).snapshot(), path, format="parquet")
    begin = time.process_time()
    result = run(path, "-o", tmp_path / "report.html", "--json")
    seconds = time.process_time() - begin
    assert len(json.loads(result.stdout)["signatures"]) == 254
    assert (tmp_path / "report.html").stat().st_size < 6_000_000
    # Processor time of the whole command; 4 to 6 s were measured on a busy two-core machine.
    assert seconds < 30
