"""Real parallel text in 40 scripts through a real engine: the sums are the corpus's tokens, exactly."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from polyglyph.contract.stats import Stats
from tests.support.server import ADMIN, ADMIN_KEY, START_TIMEOUT_S, Server, serving

pytestmark = pytest.mark.timeout(START_TIMEOUT_S + 300)
ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "examples" / "udhr"
LAYERS, EXPERTS, TOP_K = 6, 16, 2
NUM_DOCUMENTS = 572


def profile(folder: Path, *words: str, **variables: str) -> Any:
    outcome = subprocess.run(
        [sys.executable, "-m", "polyglyph.clients", "profile", str(CORPUS), "--json", *words],
        env=os.environ | {"XDG_STATE_HOME": str(folder)} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    return json.loads(outcome.stdout)


def test_an_engine_of_its_own_leaves_the_sums_in_the_file(tmp_path: Path) -> None:
    output = tmp_path / "udhr.parquet"
    words = ["--limit", "45", "--tag", "unused", "--offline", "-o", str(output), "--", "--enforce-eager"]
    report = profile(tmp_path, *words)
    assert report["documents"] == 45
    assert report["conservation_holds"]
    selected = sum(pq.read_table(output).column("selected").to_pylist())
    assert selected == report["tokens"]["computed"] * LAYERS * TOP_K


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    flags = ["--enforce-eager", "--admin-key", ADMIN_KEY, "--enable-prompt-tokens-details", "--max-model-len", "1024"]
    with serving(tmp_path_factory.mktemp("server"), flags) as server:
        yield server


@pytest.fixture(scope="module")
def reports(server: Server, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Give the reports of a run over the first half, of one that goes on, and of one that shares prefixes."""
    folder = tmp_path_factory.mktemp("state")
    variables = {"POLYGLYPH_URL": server.url, "POLYGLYPH_ADMIN_KEY": ADMIN_KEY}
    return [
        profile(folder, "--limit", "286", **variables),
        profile(folder, "--resume", **variables),
    ]


def stats(server: Server, **parameters: str) -> Stats:
    answer = httpx.get(f"{server.url}/v1/routing/stats", headers=ADMIN, params=parameters, timeout=60)
    assert answer.status_code == 200, answer.text
    return Stats.model_validate_json(answer.text)


def test_every_document_is_counted_once_over_two_runs(reports: list[Any]) -> None:
    assert [(report["documents_before"], report["documents"]) for report in reports] == [(0, 286), (286, 286)]
    assert [report["skipped"] for report in reports] == [[], []]
    assert [report["maybe_twice"] for report in reports] == [0, 0]


def test_long_articles_of_scripts_that_the_tokenizer_knows_by_bytes_are_cut(reports: list[Any]) -> None:
    assert sum(report["windows"] for report in reports) > 2 * sum(report["cut_documents"] for report in reports) - 1 > 0


def test_every_tags_sums_are_its_tokens_times_layers_times_top_k(server: Server, reports: list[Any]) -> None:
    sent: dict[str, int] = {}
    for report in reports:
        assert report["conservation_holds"]
        for tag, tokens in report["tags"].items():
            sent[tag] = sent.get(tag, 0) + tokens["computed"]
    groups = stats(server, by="tag").groups
    assert {group.tag: group.group_tokens for group in groups} == sent
    assert len(sent) == 40
    for group in groups:
        assert int(group.selected.to_numpy().sum()) == group.group_tokens * LAYERS * TOP_K


def test_the_text_of_a_script_is_counted_as_that_script(server: Server, reports: list[Any]) -> None:
    del reports
    for tag in ("cyrl", "deva", "geor", "thai", "adlm"):
        groups = stats(server, by="script", tag=tag).groups
        tokens = {group.script: group.group_tokens for group in groups}
        assert max(tokens, key=lambda script: tokens[script]) == tag.capitalize()
