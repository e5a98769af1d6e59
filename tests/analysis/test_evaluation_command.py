"""`polyglyph evaluate`: what is wrong is one clear line and an exit code before anything is asked."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import typer.testing

from polyglyph.analysis.evaluation.arm import ArmKind
from polyglyph.analysis.evaluation.benchmark import Header, Prompts
from polyglyph.analysis.evaluation.item import Item
from polyglyph.analysis.evaluation.judging import read_verdict
from polyglyph.analysis.evaluation.log import ANSWERS, VERDICTS
from polyglyph.analysis.evaluation.ranking import RANKINGS, RANKS
from polyglyph.analysis.evaluation.reading import write_benchmark
from polyglyph.analysis.evaluation.report import ITEMS_NAME, RESULTS_NAME, TABLES_NAME
from polyglyph.analysis.evaluation.run_record import FILE_NAME
from polyglyph.analysis.evaluation.table import FILE_NAME as TABLE
from tests.analysis.evaluation_server import EvaluationServer, answering
from tests.analysis.test_evaluation_runner import NUM_JOBS, PLANS, benchmark
from tests.clients.terminal import Terminal
from tests.support import loopback
from tests.support.loopback import Answer, Asked

ENVIRONMENT = {"COLUMNS": "300", "NO_COLOR": "1"}


@pytest.fixture
def server() -> Iterator[EvaluationServer]:
    with answering(EvaluationServer(plans=dict(PLANS))) as server:
        yield server


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "x.jsonl"
    write_benchmark(benchmark(), path)
    return path


def evaluate(server: EvaluationServer, file: Any, *words: str) -> typer.testing.Result:
    output = ["-o", str(Path(file).parent / "run")] if "-o" not in words else []
    return Terminal(server.url).run("evaluate", str(file), "--patience", "0", *output, *words)


def test_a_run_leaves_its_answers_table_and_results(server: EvaluationServer, file: Path) -> None:
    outcome = evaluate(server, file, "--arms", "none,plan", "--json")
    assert outcome.exit_code == 0, outcome.output
    assert json.loads(outcome.stdout)["benchmark"]["name"] == "x"
    names = {path.name for path in (file.parent / "run").iterdir()}
    assert {"run.json", "answers.jsonl", "answers.parquet", "results.json", "results.md"} <= names


def test_the_table_is_printed_and_words_go_to_stderr(server: EvaluationServer, file: Path) -> None:
    outcome = evaluate(server, file, "--arms", "plan")
    assert outcome.exit_code == 0, outcome.output
    assert "| plan |" in outcome.stdout and "written to" in outcome.stderr


def test_what_all_does_not_hold_is_said(server: EvaluationServer, file: Path) -> None:
    outcome = evaluate(server, file, "--arms", "all", "--random-draws", "1")
    assert outcome.exit_code == 0, outcome.output
    assert "left out context: the benchmark has no prompt for 'context'" in outcome.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--arms", "plans"], "no arm is called 'plans' here; there are all, none, plan"),
        (["--arms", "plan,,none"], "--arms: expected words with commas between them"),
        (["--modes", "deep"], "--modes: expected thinking or direct, got 'deep'"),
        (["--temperatures", "warm"], "--temperatures: expected numbers"),
        (["--temperatures", "-1"], "--temperatures: expected 0 to 16"),
        (["--strengths", "17"], "--strengths: expected -16 to 16, got 17"),
        (["--plans", "mine-*"], "no such folder, and no such plan on the server, which has to-latn"),
        (["--half", "development"], "has no items in its half 'development'"),
        (["--rules", "none.json"], "--rules: there is no file none.json"),
        (["--model", "other"], "leave out --url"),
        (["--scorer", "judge"], "name one with --judge-url and --judge-model"),
        (["--judge-url", "http://127.0.0.1:1"], "a judge would have nothing to do"),
        (["--resume", "-o", __file__], "no record of a run"),
    ],
)
def test_what_cannot_be_run_is_refused_and_leaves_nothing(
    server: EvaluationServer, file: Path, words: list[str], said: str
) -> None:
    outcome = evaluate(server, file, *words)
    assert outcome.exit_code == 2, outcome.output
    assert said in " ".join(outcome.stderr.replace("│", " ").split())
    assert not server.bodies and not (file.parent / "run").exists()


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("rivers", "rivers: no such file, and no benchmark of this name; there are organism"),
        ("rivers.jsonl", "rivers.jsonl: no such file"),
        ("eclektic", "eclektic: name the path of its files, as in eclektic:PATH"),
        ("multiloko:nowhere", "nowhere: no such file or folder"),
        ("organism", "organism: name the directory of the organism that is served, as in organism:DIR"),
        ("names:long", "names:long: expected names"),
    ],
)
def test_a_benchmark_that_is_not_there_is_named(
    server: EvaluationServer, tmp_path: Path, argument: str, said: str
) -> None:
    outcome = evaluate(server, argument, "-o", str(tmp_path / "run"))
    assert outcome.exit_code == 2
    assert said in " ".join(outcome.stderr.split())


def test_a_folder_with_a_run_is_refused_before_the_server_is_asked(server: EvaluationServer, file: Path) -> None:
    evaluate(server, file, "--arms", "none")
    url, server.url = server.url, "http://127.0.0.1:9"
    outcome = evaluate(server, file, "--arms", "none")
    assert outcome.exit_code == 2 and "go on with it by --resume" in outcome.stderr
    server.url = url
    assert evaluate(server, file, "--arms", "none", "--resume").exit_code == 0


def test_a_server_that_dies_says_how_to_go_on(server: EvaluationServer, file: Path) -> None:
    server.fault = lambda number: 503 if number >= 20 else None
    outcome = evaluate(server, file, "--arms", "plan")
    assert outcome.exit_code == 3
    assert "go on with --resume" in outcome.stderr and "no server answers" in outcome.stderr
    server.fault = lambda _number: None
    assert evaluate(server, file, "--arms", "plan", "--resume").exit_code == 0
    assert len((file.parent / "run" / ANSWERS).read_bytes().splitlines()) == NUM_JOBS


def test_nothing_at_the_url_is_unreachable(file: Path) -> None:
    outcome = Terminal("http://127.0.0.1:9").run("evaluate", str(file), "-o", str(file.parent / "run"))
    assert outcome.exit_code == 3 and not (file.parent / "run").exists()


def test_ctrl_c_finishes_what_is_in_flight_and_ends_with_130(server: EvaluationServer, file: Path) -> None:
    server.gate.clear()
    words = ["evaluate", str(file), "-o", str(file.parent / "run"), "--arms", "plan", "--url", server.url]
    process = subprocess.Popen(
        [sys.executable, "-m", "polyglyph.clients", *words, "--concurrency", "4"],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | ENVIRONMENT,
    )
    server.wait_until(lambda server: server.num_in_flight == 4)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert "finishing what is in flight" in process.stderr.readline()
    server.gate.set()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "4 answers are in" in said and "--resume" in said


@dataclass
class Judge:
    """Finds answers with a question mark right."""

    fails_from: int = 10**9
    seen: list[str] = field(default_factory=list)
    url: str = ""

    def answer(self, asked: Asked) -> Answer:
        words = asked.body["messages"][0]["content"]
        self.seen.append(words)
        is_right = "?" in words.partition("Answer to judge:")[2].partition("\n")[0]
        reply = f"The answer seems so.\n{'CORRECT' if is_right else 'INCORRECT'}"
        message = {"role": "assistant", "content": reply}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        document = {"id": "1", "created": 1, "model": "j", "object": "chat.completion", "choices": choices}
        return (200 if len(self.seen) < self.fails_from else 400), document


@pytest.fixture
def judge() -> Iterator[Judge]:
    judge = Judge()
    with loopback.listening(judge.answer) as port:
        judge.url = f"http://127.0.0.1:{port}/v1"
        yield judge


def test_a_judges_verdicts_are_kept_and_gone_on_with(server: EvaluationServer, file: Path, judge: Judge) -> None:
    words = ["--arms", "plan", "--scorer", "judge", "--judge-url", judge.url, "--judge-model", "j", "--json"]
    judge.fails_from = 30
    outcome = evaluate(server, file, *words)
    assert outcome.exit_code == 2, outcome.output
    folder = file.parent / "run"
    kept = (folder / VERDICTS).read_bytes()
    assert 0 < len(kept.splitlines()) < 30 and not (folder / "results.json").exists()
    judge.fails_from = 10**9
    outcome = evaluate(server, file, *words, "--resume")
    assert outcome.exit_code == 0, outcome.output
    assert (folder / VERDICTS).read_bytes().startswith(kept)
    verdicts = [json.loads(line) for line in (folder / VERDICTS).read_text().splitlines()]
    assert len(verdicts) == 80 + 80
    assert {v["right"] for v in verdicts if v["arm"] == "none"} == {False}
    assert sum(v["right"] for v in verdicts if v["arm"] == "plan") == 60


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("CORRECT", True),
        ("**incorrect**.", False),
        ("Not CORRECT as such, so INCORRECT", False),
        ("It is INCORRECT? No: CORRECT", True),
        ("Yes", None),
        ("", None),
        ("CORRECTION", None),
    ],
)
def test_a_verdict_is_the_last_word_that_is_one(reply: str, verdict: bool | None) -> None:
    assert read_verdict(reply) is verdict


def test_the_page_names_every_kind_of_arm_every_field_and_every_file() -> None:
    page = (Path(__file__).parents[2] / "docs" / "evaluate.md").read_text(encoding="utf-8")
    fields = [*Item.model_fields, *(name for name in Header.model_fields if name != "schema_"), *Prompts.model_fields]
    files = [FILE_NAME, ANSWERS, VERDICTS, RANKINGS, RANKS, TABLE, RESULTS_NAME, TABLES_NAME, ITEMS_NAME]
    missing = [word for word in [*(kind.value for kind in ArmKind), *fields, *files] if f"`{word}`" not in page]
    assert not missing
