"""A search through a real engine: killed in the middle, it goes on, and what it writes steers the server."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from polyglyph import bundled_organism
from polyglyph.analysis.evaluation.reading import make_benchmark, write_benchmark
from polyglyph.analysis.evaluation.sources import find_benchmark
from polyglyph.analysis.rules.rule_file import load_rules
from polyglyph.analysis.search.study import FILE_NAME
from polyglyph.contract.plan import load_plan
from tests.support.server import START_TIMEOUT_S

pytestmark = pytest.mark.timeout(2 * START_TIMEOUT_S + 600)
PAIRS = 12
NUM_FACTS = 24
"""Of each asked in four scripts: 96 items, so that finalists, who are asked them all, do not take minutes."""


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    whole = find_benchmark("organism", model=bundled_organism())
    known = [item for item in whole.items if item.task == "knowledge" and item.half == "development"]
    scripts = sorted({item.source_script for item in known})
    by_script = {
        script: dict.fromkeys(item.fact for item in known if item.source_script == script) for script in scripts
    }
    chosen = {fact for facts in by_script.values() for fact in list(facts)[: NUM_FACTS // len(scripts)]}
    path = tmp_path_factory.mktemp("benchmark") / "organism.jsonl"
    write_benchmark(make_benchmark(whole.header, [item for item in known if item.fact in chosen]), path)
    return path


def command(benchmark: Path, folder: Path, *words: str) -> list[str]:
    small = ["--trials", "4", "--items", "24", "--finalists", "1", "--concurrency", "32"]
    profile = ["--profile", f"organism:{bundled_organism()}"]
    own = ["search", str(benchmark), *profile, "-o", str(folder), "--json", *small, *words]
    return [sys.executable, "-m", "polyglyph.clients", *own, "--", "--enforce-eager"]


def num_trials(folder: Path) -> int:
    import sqlite3

    path = folder / FILE_NAME
    if not path.exists():
        return 0
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        tables = {name for (name,) in database.execute("select name from sqlite_master where type = 'table'")}
        if "trials" not in tables:
            return 0
        (count,) = database.execute("select count(*) from trials where state in ('COMPLETE', 'PRUNED')").fetchone()
        return int(count)


def kill_after_two_trials(benchmark: Path, folder: Path) -> None:
    process = subprocess.Popen(command(benchmark, folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + START_TIMEOUT_S + 300
    while num_trials(folder) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    assert process.poll() is None, "the search ended before it could be killed"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def test_a_killed_search_goes_on_and_its_plans_are_whole(benchmark: Path, tmp_path: Path) -> None:
    folder = tmp_path / "found"
    kill_after_two_trials(benchmark, folder)
    before = num_trials(folder)
    assert not [*folder.glob("*.plan.json"), *folder.glob("search.json")], "nothing is written before the end"
    outcome = subprocess.run(command(benchmark, folder, "--resume"), capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    report = json.loads(outcome.stdout)
    assert before >= 2
    assert num_trials(folder) == 4
    assert [trial["trial"] for trial in report["trials"]] == [0, 1, 2, 3]
    assert report["half"] == "development"
    assert report["chosen"] is not None
    plans = [load_plan(path) for path in folder.glob("*.plan.json")]
    assert len(plans) == PAIRS
    assert {plan.provenance.stats_sha256 for plan in plans if plan.provenance} == {report["stats_sha256"]}
    assert {rule.name for rule in load_rules(folder / "rules.json")} >= {"probe"}
