"""A corpus driven through a server: every token counted once, whatever goes wrong on the way."""

import asyncio
import json
import threading
from collections import Counter
from contextlib import ExitStack

import pytest

from polyglyph.clients import ApiKeyError, AsyncPolyglyph, ServerUnreachableError
from polyglyph.clients.errors import AnswerError
from polyglyph.clients.profile import Ending, ProfileFailedError, Split, Stop, profile
from polyglyph.clients.profile import drive as drive_module
from polyglyph.clients.profile import sender as sender_module
from polyglyph.clients.profile.document import Reason
from polyglyph.contract.errors import ConflictError, RequestError
from tests.clients.profile_server import ADMIN_KEY, SELECTIONS, CountingServer, Lost, listening


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    monkeypatch.setattr(sender_module, "FIRST_WAIT_S", 0.01)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state-home"))


@pytest.fixture
def server():
    with listening(CountingServer()) as running:
        yield running


def corpus_of(folder, *rows):
    path = folder / "corpus.jsonl"
    path.write_text("".join(json.dumps(row if isinstance(row, dict) else {"text": row}) + "\n" for row in rows))
    return path


def numbered(folder, count):
    return corpus_of(folder, *(f"document {number} of many" for number in range(count)))


async def run(server, corpus, **options):
    async with AsyncPolyglyph(server.url, admin_key=ADMIN_KEY, timeout_s=20) as client:
        return await profile(client, corpus, **{"patience_s": 20.0, **options})


async def test_every_document_is_counted_once_and_the_sums_agree(server, tmp_path):
    report = await run(server, numbered(tmp_path, 50), tag="a")
    assert Counter(server.counted) == Counter(f"document {number} of many" for number in range(50))
    assert (report.ending, report.num_documents, report.total.prompt_tokens) == (Ending.FINISHED, 50, 200)
    (found,) = report.reconciliations
    assert (found.tag, found.surplus, found.counted.selections) == ("a", 0, 200 * SELECTIONS)
    assert report.holds
    assert report.num_maybe_twice == 0


async def test_a_text_is_only_read_and_a_chat_may_be_answered(server, tmp_path):
    corpus = corpus_of(tmp_path, "one two", {"messages": [{"role": "user", "content": "three four five"}]})
    report = await run(server, corpus, max_tokens=7)
    texts = [body for body in server.bodies if "prompt" in body]
    chats = [body for body in server.bodies if "messages" in body]
    assert [body["max_tokens"] for body in texts] == [1]
    assert [body["max_tokens"] for body in chats] == [7]
    assert report.total.passed_tokens == 2 + 3 + 6 == server.tokens[""]
    assert report.holds


async def test_each_documents_tag_and_the_steering_travel_with_it(server, tmp_path):
    corpus = corpus_of(tmp_path, {"text": "a b", "tag": "own"}, "c d e")
    report = await run(server, corpus, tag="default", steering={"plan": "to-latn", "strength": 0.5})
    assert server.tokens == Counter(own=2, default=3)
    assert all(body["steering"] == {"plan": "to-latn", "strength": 0.5} for body in server.bodies)
    assert [found.tag for found in report.reconciliations] == ["default", "own"]


async def test_without_steering_the_request_carries_no_field_of_ours(server, tmp_path):
    await run(server, corpus_of(tmp_path, "a b"))
    assert not {"steering", "routing"} & server.bodies[0].keys()


async def test_every_token_is_counted_even_of_equal_documents(server, tmp_path):
    report = await run(server, corpus_of(tmp_path, *["word " * 40] * 5))
    assert server.tokens[""] == 200
    assert report.total.cached_tokens == 0


@pytest.mark.parametrize("says_cached", [True, False])
async def test_with_the_prefix_cache_tokens_and_cached_ones_are_what_was_sent(server, tmp_path, says_cached):
    server.says_cached = says_cached
    corpus = corpus_of(tmp_path, *["word " * 40] * 5)
    report = await run(server, corpus, shares_prefixes=True, concurrency=1)
    (found,) = report.reconciliations
    assert (found.counted.tokens, found.counted.cached_tokens, found.surplus) == (40 + 4 * 8, 4 * 32, 0)
    assert report.total.says_cached is says_cached
    tokens = report.to_json()["tokens"]
    assert (tokens["cached"], tokens["computed"]) == ((128, 72) if says_cached else (None, None))


async def test_a_document_over_the_context_is_cut_into_windows_without_loss(server, tmp_path):
    server.max_model_len = 50
    (tmp_path / "long.txt").write_text(
        "".join(f"word{number}{'. ' if number % 9 else chr(10)}" for number in range(1000))
    )
    report = await run(server, tmp_path / "long.txt")
    assert Counter(" ".join(server.counted).split()) == Counter((tmp_path / "long.txt").read_text().split())
    assert (report.num_documents, report.num_cut_documents, report.total.prompt_tokens) == (1, 1, 1000)
    assert report.num_windows == report.total.requests == len(server.counted)
    assert report.num_windows < 40
    assert report.holds


async def test_a_document_over_the_largest_body_is_cut_too(server, tmp_path):
    server.max_body_bytes = 2000
    report = await run(server, corpus_of(tmp_path, "word " * 900))
    assert (report.num_cut_documents, report.total.prompt_tokens) == (1, 900)


async def test_a_request_over_the_limit_that_the_server_names_is_never_sent(server, tmp_path):
    server.said_max_body_bytes = 1000
    chat = {"messages": [{"role": "user", "content": "word " * 400}]}
    report = await run(server, corpus_of(tmp_path, "\N{NULL} word " * 200, chat))
    assert report.total.prompt_tokens == 400
    assert all(len(json.dumps(body)) <= 1000 for body in server.bodies)
    assert report.skipped == {Reason.TOO_LONG: 1}


async def test_what_cannot_be_cut_is_skipped_as_too_long(server, tmp_path):
    server.max_model_len = 3
    chat = {"messages": [{"role": "user", "content": "one two three four"}]}
    report = await run(server, corpus_of(tmp_path, chat, "a b"))
    assert report.skipped == {Reason.TOO_LONG: 1}
    assert "maximum context length" in report.examples[Reason.TOO_LONG][0].detail
    assert report.num_documents == 1


async def test_what_the_server_refuses_is_skipped_with_its_words(server, tmp_path):
    server.fault = lambda number: {"message": "no such role", "param": "messages[0].role"} if number == 0 else None
    report = await run(server, corpus_of(tmp_path, "a b", "c d"), concurrency=1)
    assert report.skipped == {Reason.REFUSED: 1}
    (example,) = report.examples[Reason.REFUSED]
    assert (str(example.place), example.detail) == ("corpus.jsonl:1", "no such role")
    assert report.holds


@pytest.mark.parametrize("param", ["steering.plan", "routing.tag", "model"])
async def test_a_refusal_of_what_all_requests_share_ends_the_run(server, tmp_path, param):
    server.fault = lambda number: {"message": "there is no plan 'x'", "param": param}
    with pytest.raises(ProfileFailedError, match="there is no plan 'x'") as caught:
        await run(server, numbered(tmp_path, 100), concurrency=2)
    assert isinstance(caught.value.__cause__, RequestError)
    assert caught.value.report.ending is Ending.FAILED
    assert server.num_requests <= 2


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_server_is_asked_again_until_it_answers(server, tmp_path, status):
    server.fault = lambda number: status if number % 3 else None
    report = await run(server, numbered(tmp_path, 10))
    assert Counter(server.counted) == Counter(f"document {number} of many" for number in range(10))
    assert report.num_maybe_twice == 0
    assert report.holds


async def test_a_document_that_fails_in_the_server_every_time_is_skipped(server, tmp_path):
    server.fault = lambda number: 500 if number < 3 else None
    report = await run(server, corpus_of(tmp_path, "a b", "c d"), concurrency=1)
    assert report.skipped == {Reason.FAILED: 1}
    assert server.counted == ["c d"]


async def test_an_answer_that_is_lost_is_asked_for_again_and_said(server, tmp_path):
    server.fault = lambda number: Lost(is_counted=True) if number == 3 else None
    report = await run(server, numbered(tmp_path, 10))
    assert (report.num_documents, report.num_maybe_twice) == (10, 1)
    (found,) = report.reconciliations
    assert (found.surplus, found.holds) == (4, True)
    assert "sent again" in "\n".join(report.lines())


async def test_a_server_that_dies_in_the_middle_and_comes_back_is_waited_for(server, tmp_path):
    server = CountingServer()
    died, back = threading.Event(), threading.Event()

    def fault(number):
        if number == 20:
            died.set()
        return Lost(is_counted=False) if died.is_set() and not back.is_set() else None

    server.fault = fault
    with ExitStack() as up:
        up.enter_context(listening(server))
        task = asyncio.create_task(run(server, numbered(tmp_path, 60), concurrency=4))
        await asyncio.to_thread(died.wait, 20)
        await asyncio.to_thread(up.close)
        await asyncio.sleep(0.3)
        assert not task.done()
        back.set()
        up.enter_context(listening(server))
        report = await task
    assert Counter(server.counted) == Counter(f"document {number} of many" for number in range(60))
    assert report.num_documents == 60
    assert report.holds


async def test_a_server_that_stays_away_ends_the_run_with_its_report(server, tmp_path):
    server = CountingServer()
    with ExitStack() as up:
        up.enter_context(listening(server))
        server.fault = lambda number: Lost(is_counted=False) if number >= 5 else None
        with pytest.raises(ProfileFailedError) as caught:
            await run(server, numbered(tmp_path, 60), concurrency=1, patience_s=0.2)
    assert isinstance(caught.value.__cause__, ServerUnreachableError)
    assert caught.value.report.num_documents == 5


async def test_slow_answers_do_not_stop_others_and_all_are_counted(server, tmp_path):
    server.gate.clear()
    task = asyncio.create_task(run(server, numbered(tmp_path, 40), concurrency=8))
    await asyncio.to_thread(server.wait_until, lambda server: server.num_waiting == 8)
    await asyncio.sleep(0.1)
    assert server.num_waiting == 8
    server.gate.set()
    assert (await task).num_documents == 40


async def test_a_finished_document_is_not_sent_again_when_a_run_goes_on(server, tmp_path):
    corpus = numbered(tmp_path, 30)
    server.fault = lambda number: {"message": "gone", "param": "model"} if number >= 10 else None
    with pytest.raises(ProfileFailedError):
        await run(server, corpus, concurrency=1)
    server.fault = lambda number: None
    report = await run(server, corpus, resumes=True)
    assert Counter(server.counted) == Counter(f"document {number} of many" for number in range(30))
    assert (report.num_documents_before, report.num_documents) == (10, 20)
    again = await run(server, corpus, resumes=True)
    assert (again.num_documents_before, again.num_documents) == (30, 0)
    assert again.unreconciled == "nothing was sent"


async def test_a_run_that_begins_anew_says_what_an_unfinished_one_had_counted(server, tmp_path):
    server.fault = lambda number: {"message": "gone", "param": "model"} if number == 3 else None
    with pytest.raises(ProfileFailedError):
        await run(server, numbered(tmp_path, 9), concurrency=1)
    report = await run(server, numbered(tmp_path, 9))
    assert (report.num_documents, report.num_set_aside) == (9, 3)
    assert "--resume" in "\n".join(report.lines())


async def test_a_fault_of_our_own_ends_the_run_and_is_not_passed_over(server, tmp_path, monkeypatch):
    monkeypatch.setattr(drive_module, "halve", lambda text: 1 / 0)
    server.max_model_len = 2
    with pytest.raises(ZeroDivisionError):
        await run(server, numbered(tmp_path, 9))


async def test_a_document_that_stands_twice_is_counted_twice_also_across_runs(server, tmp_path):
    corpus = corpus_of(tmp_path, "a b", "a b", "a b")
    await run(server, corpus, limit=2)
    assert server.tokens[""] == 4
    report = await run(server, corpus, resumes=True)
    assert (report.num_documents_before, report.num_documents, server.tokens[""]) == (2, 1, 6)


async def test_a_stop_finishes_what_is_in_flight_and_the_next_run_goes_on_exactly(server, tmp_path):
    corpus, stop = numbered(tmp_path, 30), Stop()
    server.gate.clear()
    task = asyncio.create_task(run(server, corpus, concurrency=4, stop=stop))
    await asyncio.to_thread(server.wait_until, lambda server: server.num_waiting == 4)
    stop.ask()
    server.gate.set()
    report = await task
    assert (report.ending, report.num_documents, report.num_maybe_twice) == (Ending.INTERRUPTED, 4, 0)
    report = await run(server, corpus, resumes=True)
    assert Counter(server.counted) == Counter(f"document {number} of many" for number in range(30))
    assert report.num_maybe_twice == 0


async def test_a_second_stop_waits_for_nothing_and_says_what_may_be_counted_twice(server, tmp_path):
    corpus, stop = numbered(tmp_path, 30), Stop()
    server.gate.clear()
    task = asyncio.create_task(run(server, corpus, concurrency=4, stop=stop))
    await asyncio.to_thread(server.wait_until, lambda server: server.num_waiting == 4)
    stop.ask()
    stop.ask()
    report = await task
    server.gate.set()
    assert (report.ending, report.num_documents, report.num_maybe_twice) == (Ending.INTERRUPTED, 0, 4)
    assert (await run(server, corpus, resumes=True)).num_maybe_twice == 4


async def test_a_stop_ends_the_wait_for_a_server_that_is_away(server, tmp_path):
    stop = Stop()
    server.fault = lambda number: 503
    task = asyncio.create_task(run(server, numbered(tmp_path, 5), stop=stop))
    await asyncio.to_thread(server.wait_until, lambda server: server.num_requests == 5)
    stop.ask()
    assert (await task).ending is Ending.INTERRUPTED


async def test_a_run_that_is_cancelled_from_outside_leaves_nothing_behind(server, tmp_path):
    server.gate.clear()
    task = asyncio.create_task(run(server, numbered(tmp_path, 30)))
    await asyncio.to_thread(server.wait_until, lambda server: server.num_waiting == 4)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    server.gate.set()
    assert len(asyncio.all_tasks()) == 1


async def test_a_lost_token_is_found(server, tmp_path):
    server.loses = 1
    report = await run(server, numbered(tmp_path, 3))
    assert not report.holds
    assert "3 fewer than sent" in "\n".join(report.lines())


async def test_what_others_add_under_the_same_tag_is_found_too(server, tmp_path):
    server.loses = -2
    report = await run(server, numbered(tmp_path, 3))
    assert not report.holds
    assert "6 more than sent (do others use this tag?)" in "\n".join(report.lines())


async def test_without_the_admin_key_the_report_says_that_sums_were_not_compared(server, tmp_path):
    async with AsyncPolyglyph(server.url) as client:
        report = await profile(client, numbered(tmp_path, 3))
    assert "admin key" in report.unreconciled
    assert report.to_json()["conservation_holds"] is None


async def test_a_server_without_stats_is_refused_before_anything_is_sent(server, tmp_path):
    server.keeps_stats = False
    with pytest.raises(ConflictError, match="keeps no stats"):
        await run(server, numbered(tmp_path, 3))
    assert not server.num_requests


@pytest.mark.parametrize("options", [{"tag": "no spaces"}, {"steering": {"strenght": 1}}])
async def test_a_wrong_tag_or_steering_is_refused_before_anything_is_sent(server, tmp_path, options):
    with pytest.raises(RequestError):
        await run(server, numbered(tmp_path, 3), **options)
    assert not server.num_requests


async def test_an_answer_without_usage_ends_the_run(server, tmp_path, monkeypatch):
    monkeypatch.setattr(server, "_usage", lambda *numbers: {"id": "1"})
    with pytest.raises(ProfileFailedError) as caught:
        await run(server, numbered(tmp_path, 3))
    assert isinstance(caught.value.__cause__, AnswerError)


async def test_a_wrong_api_key_ends_the_run(server, tmp_path):
    server.fault = lambda number: 401
    with pytest.raises(ProfileFailedError) as caught:
        await run(server, numbered(tmp_path, 3))
    assert isinstance(caught.value.__cause__, ApiKeyError)


async def test_the_limit_takes_the_first_documents_and_skipped_rows_do_not_count(server, tmp_path):
    corpus = corpus_of(tmp_path, " ", "a", "b", "c")
    report = await run(server, corpus, limit=2)
    assert sorted(server.counted) == ["a", "b"]
    assert report.ending is Ending.FINISHED


async def test_what_was_skipped_is_counted_by_reason_with_examples(server, tmp_path):
    report = await run(server, corpus_of(tmp_path, *[" "] * 9, {"other": 1}, "good"))
    assert report.skipped == {Reason.EMPTY: 9, Reason.NO_CONTENT: 1}
    assert len(report.examples[Reason.EMPTY]) == 5
    document = report.to_json()
    json.dumps(document)
    assert document["skipped"][0]["examples"][0]["place"] == "corpus.jsonl:1"


async def test_paragraphs_of_a_folder_are_documents(server, tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("one two\n\nthree")
    (folder / "b.txt").write_text("four")
    report = await run(server, folder, split=Split.PARAGRAPHS)
    assert (report.num_files, report.num_documents, report.total.prompt_tokens) == (2, 3, 4)
