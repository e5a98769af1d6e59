"""`polyglyph reproduce`: what is refused before a server is started or asked."""

import asyncio

import pytest
from typer.testing import CliRunner

from polyglyph import bundled_organism
from polyglyph.analysis.reproduction.commands import app
from polyglyph.analysis.reproduction.errors import ReproductionError
from polyglyph.analysis.reproduction.running import Options, run_all
from polyglyph.clients.async_client import AsyncPolyglyph
from tests.analysis.search_world import LittleServer, listening


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    "options", [("--url", "http://127.0.0.1:9", "--model", "somewhere"), ("--items", "1"), ("--draws", "0")]
)
def test_options_that_contradict_or_are_out_of_range_are_wrong_usage(tmp_path, options):
    result = run("mote", "-o", tmp_path / "out", *options)
    assert result.exit_code == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("moet", (), "expected premoe, mote"),
        ("mote", ("--model", "no-such-folder"), "the directory of an organism, got no-such-folder"),
    ],
)
def test_a_name_or_model_that_is_none_is_refused(tmp_path, name, options, text):
    result = run(name, "-o", tmp_path / "out", *options)
    assert isinstance(result.exception, ReproductionError)
    assert text in str(result.exception)


def test_a_record_that_is_there_is_not_overwritten(tmp_path):
    (tmp_path / "mote.json").write_text("mine")
    for name in ("mote", "all"):
        result = run(name, "-o", tmp_path)
        assert isinstance(result.exception, ReproductionError)
        assert "holds mote.json already" in str(result.exception)
    assert (tmp_path / "mote.json").read_text() == "mine"


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("mine")
    result = run("mote", "-o", tmp_path / "out")
    assert "is a file; name a folder" in str(result.exception)


def test_a_server_of_another_model_is_refused_with_both_fingerprints(tmp_path):
    async def ask(url):
        async with AsyncPolyglyph(url) as client:
            await run_all(
                client,
                ["mote"],
                tmp_path / "out",
                Options(),
                model=bundled_organism(),
                watch=lambda _name, _number: None,
                done=lambda _record: None,
            )

    with listening(LittleServer()) as url, pytest.raises(ReproductionError, match="expected a server of the organism"):
        asyncio.run(ask(url))
    assert not (tmp_path / "out").exists()
