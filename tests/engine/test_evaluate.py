"""`polyglyph evaluate` against a real engine: a server killed on the way costs nothing but the answers in flight."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest

from polyglyph import bundled_organism, bundled_plans
from polyglyph.analysis.evaluation.answer import Answer
from polyglyph.analysis.evaluation.log import ANSWERS, key_of, read_log
from polyglyph.analysis.evaluation.reading import make_benchmark, write_benchmark
from polyglyph.analysis.evaluation.sources import find_benchmark
from polyglyph.contract.plan import load_plan
from tests.support.server import START_TIMEOUT_S, Server, serving

pytestmark = pytest.mark.timeout(2 * START_TIMEOUT_S)
NUM_FACTS = 10
"""Of each asked in four scripts: 40 items."""
ARMS = "none,plan,opposite,hint"
FLAGS = ("--enforce-eager",)


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    whole = find_benchmark("organism", model=bundled_organism())
    facts = sorted({item.fact for item in whole.items if item.task == "knowledge"})[:NUM_FACTS]
    items = [item.model_copy(update={"half": "test"}) for item in whole.items if item.fact in facts]
    path = tmp_path_factory.mktemp("benchmark") / "organism.jsonl"
    write_benchmark(make_benchmark(whole.header, items), path)
    return path


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder of plans that the server has, and one of other edits that it has not."""
    folder = tmp_path_factory.mktemp("plans")
    for path in sorted(bundled_plans().glob("to-*.plan.json")):
        plan = load_plan(path)
        (folder / path.name).write_text(json.dumps(plan.to_json()))
    path = folder / "cyrl-to-latn.plan.json"
    other = load_plan(next(bundled_plans().glob("to-latn.plan.json")))
    path.write_text(json.dumps(other.model_copy(update={"name": "mine", "edits": other.edits[:3]}).to_json()))
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server"), FLAGS) as server:
        yield server


def command(benchmark: Path, folder: Path, server: Server, *words: str) -> list[str]:
    common = ["--arms", ARMS, "--url", server.url, "--patience", "1", "--rank", "--rank-facts", "3", "--json"]
    return [sys.executable, "-m", "polyglyph.clients", "evaluate", str(benchmark), "-o", str(folder), *common, *words]


def evaluated(*arguments: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command(*arguments), capture_output=True, text=True, check=False, env=os.environ)


def answers(folder: Path) -> list[Answer]:
    return list(read_log(folder / ANSWERS, Answer))


def test_a_run_cut_by_a_killed_server_goes_on_to_what_an_uncut_one_gives(
    benchmark: Path, plans: Path, server: Server, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = evaluated(benchmark, tmp_path / "whole", server, "--plans", str(plans))
    assert whole.returncode == 0, whole.stderr
    document = json.loads(whole.stdout)
    assert {arm["name"] for arm in document["run"]["arms"]} == {"none", "plan", "opposite", "hint"}
    ranked = document["rank_consistency"]
    assert {name: figures["questions"] for name, figures in ranked.items()} == {"none-direct": 9, "plan-direct": 9}
    # Everyone asks the 30 questions across scripts; at home only `none` and the hint ask otherwise than `none` does.
    found = {answer.arm: 0 for answer in answers(tmp_path / "whole")}
    for answer in answers(tmp_path / "whole"):
        found[answer.arm] += 1
        assert bool(answer.plan) == (answer.arm in {"plan", "opposite"})
        assert (answer.tokens_steered > 0) == bool(answer.plan)
    assert found == {"none": 40, "plan": 30, "opposite": 30, "hint": 40}

    with serving(tmp_path_factory.mktemp("killed"), FLAGS) as doomed:
        words = command(benchmark, tmp_path / "cut", doomed, "--plans", str(plans), "--concurrency", "1")
        process = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        wait_for_answers(process, tmp_path / "cut", 20)
        kill(doomed.process.pid)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 3, said
    said = " ".join(said.split())
    assert "go on with --resume" in said and "no server answers" in said
    before = answers(tmp_path / "cut")
    assert 20 <= len(before) < 140
    assert not (tmp_path / "cut" / "results.json").exists()

    resumed = evaluated(benchmark, tmp_path / "cut", server, "--plans", str(plans), "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert answers(tmp_path / "cut")[: len(before)] == before
    assert comparable(tmp_path / "cut") == comparable(tmp_path / "whole")
    assert json.loads(resumed.stdout)["rank_consistency"] == ranked
    table = pl.read_parquet(tmp_path / "cut" / "answers.parquet")
    assert (len(table), len(table.filter(is_shared=False))) == (160, 140)


def wait_for_answers(process: "subprocess.Popen[str]", folder: Path, number: int) -> None:
    log = folder / ANSWERS
    while not (log.exists() and len(log.read_bytes().splitlines()) >= number):
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
            return


def kill(pid: int) -> None:
    """Kill a server and its engine as a power cut would."""
    process = psutil.Process(pid)
    for victim in (process, *process.children(recursive=True)):
        # Python's own tracker holds no state of ours; it alone can take away the shared memory of the dead.
        if "resource_tracker" not in " ".join(victim.cmdline()):
            victim.kill()


def comparable(folder: Path) -> dict[Any, Any]:
    rows = {key_of(a): (a.text, a.reasoning, a.plan, a.finish_reason, a.tokens_steered) for a in answers(folder)}
    assert len(rows) == len(answers(folder))
    return rows


def test_a_server_without_the_plans_is_refused(benchmark: Path, server: Server, tmp_path: Path) -> None:
    outcome = evaluated(benchmark, tmp_path / "run", server, "--plans", "mine-*")
    assert outcome.returncode == 2
    assert "no such plan on the server, which has cyrl-to-deva" in " ".join(outcome.stderr.split())
    assert not (tmp_path / "run").exists()
