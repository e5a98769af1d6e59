"""The command line of a search: what it refuses before a server is started or asked."""

import json

import pytest
from typer.testing import CliRunner

from polyglyph.analysis.benchmarks.names import names_benchmark
from polyglyph.analysis.benchmarks.names_corpus import names_documents
from polyglyph.analysis.benchmarks.organism_corpus import corpus_documents
from polyglyph.analysis.names.atlas import make_atlas
from polyglyph.analysis.names.question import bridge_questions
from polyglyph.analysis.names.script import SCRIPTS
from polyglyph.analysis.organism.world import make_world
from polyglyph.analysis.search.commands import app
from polyglyph.analysis.search.errors import SearchError
from polyglyph.analysis.search.profiling import corpus_of, profile_corpus
from polyglyph.clients.async_client import AsyncPolyglyph
from polyglyph.clients.commands import app as root
from polyglyph.contract.exports import parquet
from tests.analysis.search_world import LittleServer, benchmark, listening, stats


@pytest.fixture
def benchmark_file(tmp_path):
    from polyglyph.analysis.evaluation.reading import write_benchmark

    path = tmp_path / "little.jsonl"
    write_benchmark(benchmark(), path)
    return path


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--stats", "a.parquet", "--profile", "organism"),
        ("--stats", "a.parquet", "--url", "http://127.0.0.1:9", "--model", "somewhere"),
        ("--stats", "a.parquet", "--operation", "scale"),
        ("--stats", "a.parquet", "--trials", "1"),
        ("--stats", "a.parquet", "--guard-weight", "-1"),
    ],
)
def test_options_that_contradict_are_wrong_usage_and_nothing_is_written(benchmark_file, tmp_path, options):
    result = run(benchmark_file, "-o", tmp_path / "out", *options)
    assert result.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_a_search_of_a_servers_model_ends_with_its_files_and_can_be_given_more_trials(benchmark_file, tmp_path):
    stats_file = tmp_path / "stats.parquet"
    with stats_file.open("wb") as file:
        parquet.write(stats().snapshot(), file)
    own = (benchmark_file, "-o", tmp_path / "out", "--stats", stats_file, "--tag", "corpus", "--no-rules")
    small = ("--items", "20", "--finalists", "1", "--concurrency", "4")
    with listening(LittleServer()) as url:
        first = run(*own, *small, "--trials", "3", "--url", url)
        assert first.exit_code == 0, first.output
        assert "chosen" in first.stdout
        refused = run(*own, *small, "--trials", "4", "--url", url)
        assert isinstance(refused.exception, SearchError)
        more = run(*own, *small, "--trials", "4", "--url", url, "--resume", "--json")
    assert more.exit_code == 0, more.output
    report = json.loads(more.stdout)
    assert [trial["trial"] for trial in report["trials"]] == [0, 1, 2, 3]
    assert report == json.loads((tmp_path / "out" / "search.json").read_text()) | {"created": report["created"]}
    assert len(list((tmp_path / "out").glob("*.plan.json"))) == 6


def test_a_folder_in_use_is_refused_before_a_server_is_started(benchmark_file, tmp_path):
    (tmp_path / "file").write_text("mine")
    result = CliRunner().invoke(root, ["search", str(benchmark_file), "-o", str(tmp_path), "--stats", "a.parquet"])
    assert result.exit_code != 0
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "text"), [("nowhere.jsonl", "no corpus"), ("organism", "name the directory"), ("names:x", "no corpus")]
)
def test_a_corpus_that_is_not_there_is_refused(name, text):
    with pytest.raises(SearchError, match=text), corpus_of(name, model=None, tag="t"):
        pass


async def test_profiling_asks_for_the_admin_key_before_anything_is_sent(tmp_path):
    import httpx

    asked = []

    def answer(request):
        asked.append(request.url.path)
        return httpx.Response(403, json={"error": {"message": "needs the admin key", "code": "admin_key_required"}})

    corpus = tmp_path / "c.jsonl"
    corpus.write_text(json.dumps({"text": "a"}) + "\n")
    async with AsyncPolyglyph("http://fake", transport=httpx.MockTransport(answer)) as client:
        with pytest.raises(Exception, match="admin"):
            await profile_corpus(client, corpus, tmp_path / "s.parquet", tag="t", max_tokens=1)
    assert asked == ["/v1/routing/stats"]


def test_the_organisms_corpus_holds_no_entity_of_its_benchmark():
    world = make_world(0)
    documents = list(corpus_documents(world, tag="t"))
    asked = {fact.entity.name for fact in world.facts_of("barrier")}
    told = {document["id"].partition(".")[0] for document in documents}
    assert told
    assert not told & asked
    scripts = {document["id"].rpartition(".")[2] for document in documents}
    assert scripts == {"Latn", "Cyrl", "Deva", "Geor"}
    assert {document["tag"] for document in documents} == {"t"}


def test_the_names_corpus_holds_no_city_of_its_benchmark():
    atlas = make_atlas(0)
    documents = list(names_documents(atlas, tag="t", per_script=5))
    benchmark_questions = {item.question for item in names_benchmark(0, per_pair=5, atlas=atlas).items}
    bridges = {question.text for question in bridge_questions(atlas)}
    told = {document["messages"][-1]["content"] for document in documents}
    assert told <= bridges
    assert not told & benchmark_questions
    assert {document["id"].partition(".")[0] for document in documents} == set(SCRIPTS)
