"""A run gives every item, arm and sample its answer exactly once, whatever ends it on the way, and never unsteered."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from polyglyph.analysis.evaluation.answer import Answer
from polyglyph.analysis.evaluation.arms import Choice
from polyglyph.analysis.evaluation.benchmark import Benchmark, Header, Prompts
from polyglyph.analysis.evaluation.errors import (
    EvaluationFailedError,
    PlanSetError,
    RunFolderError,
    UnsteeredAnswerError,
)
from polyglyph.analysis.evaluation.evaluate import Run, Settings, evaluate
from polyglyph.analysis.evaluation.log import ANSWERS, Log, key_of, read_log
from polyglyph.analysis.evaluation.reading import make_benchmark
from polyglyph.analysis.evaluation.run_record import FILE_NAME, read_record
from polyglyph.analysis.evaluation.table import read_table
from polyglyph.analysis.rules.rule import FirstPass, Seen
from polyglyph.clients.async_client import AsyncPolyglyph
from polyglyph.clients.errors import ServerUnreachableError
from polyglyph.clients.profile.stop import Stop
from polyglyph.contract.errors import RequestError
from polyglyph.contract.plan import Plan
from polyglyph.contract.policy import parse_policy
from tests.analysis.evaluation_server import LOST, EvaluationServer, answering, plan_of
from tests.analysis.test_evaluation_arms import SCRIPTS, item

PLANS = {name: plan_of(name, expert=i) for i, name in enumerate(("to-latn", "to-cyrl", "to-deva", "to-geor"))}
NUM_JOBS = 80 + 60
"""`none` asks all 80 items, `plan` the 60 across scripts."""


def benchmark(**header: Any) -> Benchmark:
    items = [
        item(query, source, id=f"{query}-{source}-{n}", entity=f"{source}{n}", half="test", question=f"{query} {n}")
        for query in SCRIPTS
        for source in SCRIPTS
        for n in range(5)
    ]
    return make_benchmark(Header(name="x", prompts=Prompts(hint="{entity_hint}"), max_tokens=7, **header), items)


def settings(*arms: str, **changes: Any) -> Settings:
    choice = {key: changes.pop(key) for key in list(changes) if key in Choice.__dataclass_fields__}
    return Settings(choice=Choice(names=arms or ("plan",), **choice), **({"patience_s": 0.0} | changes))


@pytest.fixture
def server() -> Iterator[EvaluationServer]:
    with answering(EvaluationServer(plans=dict(PLANS))) as server:
        yield server


async def run(server: EvaluationServer, folder: Path, *arms: str, **changes: Any) -> Run:
    options = {key: changes.pop(key) for key in ("rules", "resumes", "stop", "watch") if key in changes}
    asked = changes.pop("asked", None) or benchmark()
    async with AsyncPolyglyph(server.url) as client:
        return await evaluate(client, asked, folder, settings(*arms, **changes), **options)


def answers(folder: Path) -> list[Answer]:
    return list(read_log(folder / ANSWERS, Answer))


def comparable(folder: Path) -> set[Any]:
    return {(*key_of(answer), answer.text, answer.plan, answer.dose) for answer in answers(folder)}


def failing_from(number: int, fault: Any) -> Any:
    return lambda asked: fault if asked >= number else None


async def test_every_job_has_its_answer_once_with_what_steered_it(server: EvaluationServer, tmp_path: Path) -> None:
    done = await run(server, tmp_path)
    assert done.is_finished and done.num_answers == NUM_JOBS
    found = answers(tmp_path)
    assert Counter(answer.arm for answer in found) == {"none": 80, "plan": 60}
    for answer in found:
        source = answer.item.split("-")[1]
        plan = PLANS[f"to-{source.lower()}"].fingerprint if answer.arm == "plan" else ""
        assert (answer.plan, answer.strength, answer.dose) == ((plan, 1.0, 0.25) if plan else ("", 0.0, 0.0))
        assert answer.text.endswith("?" if plan else "!") and answer.reasoning == "because"


async def test_unsteered_arms_say_so_and_no_field_is_left_to_the_server(
    server: EvaluationServer, tmp_path: Path
) -> None:
    await run(server, tmp_path, "plan", "hint", modes=("thinking", "direct"), temperatures=(0.0, 1.0))
    for body in server.bodies:
        assert body["steering"] is False or body["steering"]["plan"] in PLANS
        assert body["max_tokens"] == 7
        assert ("seed" in body, "top_k" in body) == ((True, True) if body["temperature"] else (False, False))
        assert body.get("top_k", 0) == 0 and body.get("top_p", 1.0) == 1.0
    assert {body["chat_template_kwargs"]["enable_thinking"] for body in server.bodies} == {True, False}


async def test_arms_are_mixed_in_time(server: EvaluationServer, tmp_path: Path) -> None:
    await run(server, tmp_path, concurrency=1)
    is_steered = [body["steering"] is not False for body in server.bodies]
    for begin in range(0, NUM_JOBS - 20, 20):
        assert 0 < sum(is_steered[begin : begin + 20]) < 20


async def test_no_more_requests_are_in_flight_than_allowed(server: EvaluationServer, tmp_path: Path) -> None:
    await run(server, tmp_path, concurrency=3)
    assert server.max_in_flight <= 3


async def test_a_server_that_is_gone_for_a_while_is_waited_for(server: EvaluationServer, tmp_path: Path) -> None:
    server.fault = {10: LOST, 11: 503, 12: 429, 13: 502}.get
    await run(server, tmp_path, patience_s=30.0)
    assert len(answers(tmp_path)) == NUM_JOBS


@pytest.mark.parametrize("fault", [LOST, 503])
async def test_a_server_that_dies_ends_the_run_which_goes_on_to_the_same_answers(tmp_path: Path, fault: Any) -> None:
    server = EvaluationServer(plans=dict(PLANS))
    with answering(server):
        await run(server, tmp_path / "whole")
        server.num_requests, server.fault = 0, failing_from(50, fault)
        with pytest.raises(ServerUnreachableError, match=r"item '.*', arm '"):
            await run(server, tmp_path / "cut")
    before = answers(tmp_path / "cut")
    assert len(before) == 50
    server.fault, server.bodies = lambda _number: None, []
    with answering(server):
        done = await run(server, tmp_path / "cut", resumes=True)
    assert done.is_finished
    assert answers(tmp_path / "cut")[:50] == before
    assert len(server.bodies) == NUM_JOBS - 50
    assert comparable(tmp_path / "cut") == comparable(tmp_path / "whole")


async def test_half_a_line_of_a_killed_run_is_cut_off_and_asked_again(server: EvaluationServer, tmp_path: Path) -> None:
    await run(server, tmp_path)
    log = tmp_path / ANSWERS
    whole = log.read_bytes()
    log.write_bytes(whole[:-20])
    await run(server, tmp_path, resumes=True)
    assert len(answers(tmp_path)) == NUM_JOBS
    assert log.read_bytes().startswith(whole[: whole[:-1].rfind(b"\n") + 1])


async def test_an_answer_that_was_cut_off_by_the_servers_end_is_no_answer(
    server: EvaluationServer, tmp_path: Path
) -> None:
    server.finish_reason = "abort"
    with pytest.raises(ServerUnreachableError, match="it ends its answers with 'abort'"):
        await run(server, tmp_path)
    assert answers(tmp_path) == []


async def test_a_failure_inside_the_server_ends_the_run_after_three_tries(
    server: EvaluationServer, tmp_path: Path
) -> None:
    server.fault = failing_from(5, 500)
    with pytest.raises(EvaluationFailedError, match="the server failed 3 times"):
        await run(server, tmp_path, concurrency=1, patience_s=30.0)
    assert server.num_requests == 8


async def test_a_refused_request_ends_the_run_at_once(server: EvaluationServer, tmp_path: Path) -> None:
    server.fault = failing_from(5, 400)
    with pytest.raises(RequestError, match=r"boom \(item"):
        await run(server, tmp_path, concurrency=1)
    assert server.num_requests == 6 and len(answers(tmp_path)) == 5


@pytest.mark.parametrize(
    ("says", "words"),
    [
        ({"applied": False}, "expected an answer with applied: True, got applied: False"),
        ({"applied": True}, "expected an answer with applied: False, got applied: True"),
        ({"fingerprint": "sha256:1"}, "steered by sha256:[0-9a-f]{64} at strength 1, got sha256:1 at 1"),
        ({"strength": 0.5}, "at strength 1, got sha256:[0-9a-f]{64} at 0.5"),
    ],
)
async def test_an_answer_that_was_not_steered_as_asked_ends_the_run(
    server: EvaluationServer, tmp_path: Path, says: Any, words: str
) -> None:
    server.says = says
    with pytest.raises(UnsteeredAnswerError, match=words):
        await run(server, tmp_path)


async def test_a_server_that_says_nothing_of_steering_ends_the_run(server: EvaluationServer, tmp_path: Path) -> None:
    server.has_echo = False
    with pytest.raises(UnsteeredAnswerError, match="says nothing of the steering"):
        await run(server, tmp_path)


async def test_inline_edits_must_be_answered_with_their_own_fingerprint(
    server: EvaluationServer, tmp_path: Path
) -> None:
    folder = tmp_path / "plans"
    folder.mkdir()
    for name, plan in PLANS.items():
        (folder / f"{name}.plan.json").write_text(json.dumps(plan.to_json()))
    server.plans = {}
    await run(server, tmp_path / "run", plans=str(folder))
    assert {answer.plan for answer in answers(tmp_path / "run")} == {"", *(p.fingerprint for p in PLANS.values())}


async def test_a_pair_without_a_plan_is_refused_before_anything_is_asked(
    server: EvaluationServer, tmp_path: Path
) -> None:
    del server.plans["to-geor"]
    with pytest.raises(PlanSetError, match="no plan for cyrl-to-geor, deva-to-geor, latn-to-geor"):
        await run(server, tmp_path / "run")
    assert not (tmp_path / "run").exists() and not server.bodies
    await run(server, tmp_path / "run", allows_missing_pairs=True)
    assert Counter(answer.arm for answer in answers(tmp_path / "run")) == {"none": 80, "plan": 45}


async def test_a_pattern_that_no_plan_of_the_server_has_is_refused(server: EvaluationServer, tmp_path: Path) -> None:
    with pytest.raises(PlanSetError, match=r"--plans mine-\*: no such folder, and no such plan .* has to-latn"):
        await run(server, tmp_path / "run", plans="mine-*")


async def test_stopping_finishes_what_is_in_flight(server: EvaluationServer, tmp_path: Path) -> None:
    stop = Stop()
    server.gate.clear()

    def let_go() -> None:
        server.wait_until(lambda server: server.num_in_flight == 4)
        loop.call_soon_threadsafe(stop.ask)
        loop.call_soon_threadsafe(server.gate.set)

    import asyncio

    loop = asyncio.get_running_loop()
    thread = threading.Thread(target=let_go)
    thread.start()
    done = await run(server, tmp_path, concurrency=4, stop=stop)
    thread.join()
    assert not done.is_finished and done.num_answers == 4
    assert (await run(server, tmp_path, resumes=True)).num_answers == NUM_JOBS


async def test_a_second_wish_to_stop_abandons_what_is_in_flight(server: EvaluationServer, tmp_path: Path) -> None:
    stop = Stop()
    seen: list[int] = []

    def watch(done: int, due: int) -> None:
        seen.append(due)
        stop.ask()
        stop.ask()

    done = await run(server, tmp_path, concurrency=4, stop=stop, watch=watch)
    assert not done.is_finished and set(seen) == {NUM_JOBS}
    assert done.num_answers == len(answers(tmp_path)) < NUM_JOBS


async def test_a_folder_with_a_run_is_only_gone_on_with_when_asked(server: EvaluationServer, tmp_path: Path) -> None:
    await run(server, tmp_path)
    with pytest.raises(RunFolderError, match="holds a run already; go on with it by --resume"):
        await run(server, tmp_path)


@pytest.mark.parametrize("name", ["notes.txt", ANSWERS])
async def test_a_folder_with_something_else_is_left_alone(server: EvaluationServer, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(RunFolderError, match=r"holds something, but no run\.json"):
        await run(server, tmp_path, resumes=True)
    assert (tmp_path / name).read_text() == "mine" and not (tmp_path / FILE_NAME).exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 1}, "the earlier run had seed 0, this one has 1"),
        ({"strength": 2.0}, r"arms\[1\].steering\[0\].field"),
        ({"half": "both"}, "half test, this one has both"),
        ({"asked": benchmark(description="another")}, "benchmark.sha256"),
        (
            {"temperatures": (0.0, 1.0)},
            r"arms \['none', 'plan'\], this one has \['none', 'plan', 'none-t1', 'plan-t1'\]",
        ),
    ],
)
async def test_another_run_is_not_gone_on_with(
    server: EvaluationServer, tmp_path: Path, changes: Any, words: str
) -> None:
    await run(server, tmp_path)
    before = (tmp_path / FILE_NAME).read_bytes(), (tmp_path / ANSWERS).read_bytes()
    with pytest.raises(RunFolderError, match=words):
        await run(server, tmp_path, resumes=True, **changes)
    assert before == ((tmp_path / FILE_NAME).read_bytes(), (tmp_path / ANSWERS).read_bytes())


async def test_a_plan_that_was_repointed_meanwhile_is_not_gone_on_with(
    server: EvaluationServer, tmp_path: Path
) -> None:
    await run(server, tmp_path)
    server.plans["to-latn"] = plan_of("to-latn", expert=6)
    with pytest.raises(RunFolderError, match=r"fingerprint"):
        await run(server, tmp_path, resumes=True)


async def test_random_controls_of_a_resumed_run_are_those_of_its_beginning(
    server: EvaluationServer, tmp_path: Path
) -> None:
    await run(server, tmp_path, "random", num_draws=2)
    first = read_record(tmp_path)
    assert first is not None and first.frequencies is not None
    num_asked = len(server.bodies)
    assert (await run(server, tmp_path, "random", num_draws=2, resumes=True)).is_finished
    assert len(server.bodies) == num_asked, "nothing is measured again"


class SuffixRule:
    """Guesses by the last letters of the question; the probe's twin looks at the routing first."""

    def __init__(self, first_pass: FirstPass | None = None) -> None:
        self.name = "suffix" if first_pass is None else "probe"
        self.first_pass = first_pass
        self.plans: dict[tuple[str, str], Plan] = {}
        self.seen: list[Seen | None] = []

    def guess(self, question: str, *, query_script: str, seen: Seen | None = None) -> str | None:
        self.seen.append(seen)
        return {"0": None, "1": query_script, "2": "Latn", "3": "Hani"}.get(question[-1], "Geor")


async def test_a_rules_guess_chooses_the_plan_and_no_guess_none(server: EvaluationServer, tmp_path: Path) -> None:
    await run(server, tmp_path, "auto", rules=[SuffixRule()])
    for answer in answers(tmp_path):
        query, _, number = answer.item.split("-")
        wanted = {"0": None, "1": query, "2": "Latn", "3": "Hani"}.get(number, "Geor")
        plan = PLANS.get(f"to-{wanted}".lower()) if wanted != query else None
        if answer.arm == "auto-suffix":
            assert answer.guessed_source == wanted
            assert answer.plan == (plan.fingerprint if plan else "")


async def test_a_first_pass_is_asked_once_unsteered_and_computed_whole(
    server: EvaluationServer, tmp_path: Path
) -> None:
    probe = SuffixRule(FirstPass(max_tokens=1, wants_routing=True))
    await run(server, tmp_path, "auto-probe", rules=[probe], temperatures=(0.0, 1.0))
    passes = [body for body in server.bodies if "routing" in body]
    assert len(passes) == 80 and len({body["cache_salt"] for body in passes}) == 80
    assert all(body["steering"] is False and body["max_tokens"] == 1 and not body["temperature"] for body in passes)
    assert all(seen is not None and seen.selected_LE is not None for seen in probe.seen)


async def test_the_servers_own_policy_is_an_arm(server: EvaluationServer, tmp_path: Path) -> None:
    server.policy = parse_policy({"otherwise": {"plan": "to-latn"}})
    await run(server, tmp_path, "auto-policy")
    found = [answer for answer in answers(tmp_path) if answer.arm == "auto-policy"]
    assert len(found) == 80 and {answer.guessed_source for answer in found} == {"Latn"}
    server.policy = parse_policy({"otherwise": {"plan": "to-cyrl"}})
    with pytest.raises(RunFolderError, match="fingerprint"):
        await run(server, tmp_path, "auto-policy", resumes=True)


async def test_the_record_holds_what_is_needed_to_repeat_the_run(server: EvaluationServer, tmp_path: Path) -> None:
    done = await run(server, tmp_path, "all", seed=7, limit=20)
    record = json.loads((tmp_path / FILE_NAME).read_text())
    assert record["schema"] == "polyglyph.evaluation-run/1"
    assert record["benchmark"]["sha256"] == benchmark().sha256
    assert record["seed"] == 7 and record["versions"]["server"]["vllm"] == "0.32.0"
    assert record["model"]["fingerprint"].startswith("sha256:")
    assert [arm["name"] for arm in record["arms"]] == [arm.name for arm in done.arms]
    assert read_record(tmp_path) == done.record


async def test_the_table_has_each_answer_with_its_item(server: EvaluationServer, tmp_path: Path) -> None:
    done = await run(server, tmp_path)
    table = read_table(tmp_path, done.items, done.arms)
    assert len(table.filter(is_shared=False)) == NUM_JOBS
    (row,) = table.filter(item="Cyrl-Deva-3", arm="plan").rows(named=True)
    assert (row["entity"], row["source_script"], row["answers"], row["half"]) == ("Deva3", "Deva", ["#"], "test")


async def test_what_was_not_asked_again_stands_in_the_table_as_it_was_asked(
    server: EvaluationServer, tmp_path: Path
) -> None:
    done = await run(server, tmp_path, temperatures=(0.0, 1.0), num_samples=2)
    table = read_table(tmp_path, done.items, done.arms)
    assert Counter(table["arm"]) == {"none": 80, "plan": 80, "none-t1": 160, "plan-t1": 160}
    for (arm,), rows in table.filter(is_shared=True).group_by("arm"):
        at_home = {item.id for item in done.items if not item.is_cross}
        assert set(rows["item"]) == at_home and set(rows["plan"]) == {""}
        none = table.filter(arm=f"none{str(arm).removeprefix('plan')}").filter(pl.col("item").is_in(at_home))
        assert rows.sort("item", "sample")["text"].to_list() == none.sort("item", "sample")["text"].to_list()


def test_two_runs_cannot_write_one_log(tmp_path: Path) -> None:
    with Log(tmp_path / ANSWERS, Answer), pytest.raises(RunFolderError, match="another run is writing here"):
        Log(tmp_path / ANSWERS, Answer)


@pytest.mark.parametrize("line", [b"{}", b"\xff", b"[]", b""])
def test_a_damaged_line_is_named(tmp_path: Path, line: bytes) -> None:
    (tmp_path / ANSWERS).write_bytes(line + b"\n")
    with pytest.raises(RunFolderError, match=r"answers\.jsonl, line 1: damaged"):
        Log(tmp_path / ANSWERS, Answer)
