"""`polyglyph verify` passes on a healthy server, and each broken promise turns its own line red."""

import json

import pytest

from polyglyph.clients import Polyglyph
from polyglyph.clients.verify.closed import bad_fields
from polyglyph.clients.verify.examination import Examination
from polyglyph.clients.verify.line import NotCheckedError, Verdict
from polyglyph.clients.verify.probe import Probe
from polyglyph.clients.verify.report import CHECKS, examine
from tests.clients.fake_server import FakeServer, faulty, plan_of, serving
from tests.clients.terminal import Terminal

EVERY = frozenset(check.promise for check in CHECKS)


def report_on(server, *, promises=EVERY, reference=None):
    with serving(server), serving(reference or FakeServer(is_plain=True)) as plain, Polyglyph(server.url) as client:
        examination = Examination(Probe(client), client.model(), reference_url=plain.url, max_tokens=8)
        return {line.promise: line for line in examine(examination, frozenset(promises))}


def test_every_promise_of_a_healthy_server_passes():
    lines = report_on(FakeServer(plans={"to-latin": plan_of()}))
    assert not [line for line in lines.values() if line.verdict is not Verdict.PASSED]
    assert set(lines) == EVERY


def test_a_model_without_a_chat_template_is_examined_through_plain_completion():
    server, plain = FakeServer(has_chat_template=False), FakeServer(has_chat_template=False, is_plain=True)
    lines = report_on(server, reference=plain)
    assert all(line.verdict is Verdict.PASSED for line in lines.values()), lines


@pytest.mark.parametrize(
    ("promise", "faults"),
    [
        (2, {"leaks_to_neighbours": True}),
        (3, {"ignores_edits": True}),
        (4, {"edits_at_strength_0": True}),
        (5, {"shares_cache_across_steering": True}),
        (5, {"shares_steered_answers_with_prompts": True}),
        (6, {"lost_hook": 1}),
        (10, {"lost_hook": 1}),
    ],
)
def test_an_engine_that_breaks_a_promise_turns_its_line_red(promise, faults):
    line = report_on(faulty(**faults), promises={promise})[promise]
    assert line.verdict is Verdict.FAILED, line


def test_the_smallest_difference_to_plain_vllm_turns_idle_red():
    line = report_on(faulty(offset=1e-12), promises={1})[1]
    assert line.verdict is Verdict.FAILED
    assert line.figures["differing"] == line.figures["requests"]


def test_idle_is_not_checked_against_a_server_that_is_not_plain():
    line = report_on(FakeServer(), promises={1}, reference=FakeServer())[1]
    assert line.verdict is Verdict.NOT_CHECKED
    assert "no plain vLLM" in line.text


def test_sums_that_miss_a_token_of_each_answer_turn_conservation_red():
    line = report_on(FakeServer(num_lost=1), promises={6})[6]
    assert line.verdict is Verdict.FAILED
    assert f"expected {line.figures['tokens']}" in line.text


def test_accepted_drafts_behind_the_end_are_allowed_as_far_as_the_engine_speculates_and_said_so():
    line = report_on(FakeServer(num_drafts=2, counts_drafts_in_traces=True), promises={6})[6]
    assert line.verdict is Verdict.PASSED, line
    assert "up to 2 accepted drafts" in line.text
    assert line.figures["computed"] + line.figures["cached"] > line.figures["tokens"]


def test_stats_of_other_experts_than_the_traces_turn_conservation_red():
    line = report_on(FakeServer(num_drafts=2), promises={6})[6]
    assert line.verdict is Verdict.FAILED
    assert "differ between the stats and the traces" in line.text


def test_a_trace_that_does_not_add_up_to_its_summary_turns_conservation_red():
    line = report_on(FakeServer(mistakes_second_choice=True), promises={6})[6]
    assert line.verdict is Verdict.FAILED
    assert "the summary" in line.text


@pytest.mark.parametrize(
    ("fault", "form"),
    [({"mistakes_second_choice": True}, "two choices"), ({"garbles_streamed_traces": True}, "streamed")],
)
def test_a_form_of_serving_with_another_trace_turns_serving_red(fault, form):
    line = report_on(FakeServer(**fault), promises={9})[9]
    assert line.verdict is Verdict.FAILED
    assert form in line.text
    assert "of the trace differ" in line.text


def test_an_aborted_stream_that_is_counted_short_turns_serving_red():
    line = report_on(FakeServer(num_lost=4), promises={9})[9]
    assert line.verdict is Verdict.FAILED
    assert "aborted stream" in line.text


def test_an_aborted_stream_is_counted_as_far_as_it_came():
    line = report_on(FakeServer(), promises={9})[9]
    assert 0 < line.figures["aborted_after"] < 100


def test_an_engine_that_rounds_by_request_is_judged_by_what_it_gives_separate_requests():
    line = report_on(faulty(rounds=1e-4), promises={9})[9]
    assert line.verdict is Verdict.PASSED, line
    assert "rounding" in line.text
    assert line.figures["rounded"] > 0


@pytest.mark.parametrize("promise", [6, 9])
def test_sums_that_are_not_open_are_not_checked_and_the_line_says_what_would_open_them(locked_server, keys, promise):
    with Polyglyph(locked_server.url, api_key=keys["api_key"]) as client:
        lines = list(examine(Examination(Probe(client), client.model(), max_tokens=8), frozenset({promise})))
    assert lines[0].verdict is Verdict.NOT_CHECKED
    assert "admin key" in lines[0].text


def test_a_fault_in_the_forms_of_serving_is_told_though_the_sums_are_not_open():
    line = report_on(FakeServer(keeps_stats=False, garbles_streamed_traces=True), promises={9})[9]
    assert line.verdict is Verdict.FAILED


@pytest.mark.parametrize("promise", [6, 9])
def test_a_server_without_stats_is_not_checked_for_sums(promise):
    line = report_on(FakeServer(keeps_stats=False), promises={promise})[promise]
    assert line.verdict is Verdict.NOT_CHECKED
    assert "--no-stats" in line.text


def test_a_hook_that_is_no_longer_in_place_turns_closed_red():
    line = report_on(FakeServer(hooks_in_place=False), promises={10})[10]
    assert line.verdict is Verdict.FAILED
    assert "no longer in place" in line.text


def test_a_hook_that_was_lost_after_the_report_is_missed_in_the_counts():
    line = report_on(faulty(lost_hook=2), promises={10})[10]
    assert "MoE layer 2: 0 selections" in line.text


@pytest.mark.parametrize("accepts", ["strenght", "no-such-plan", '"forbid"', "two words", "thinking", "everything"])
def test_a_wrong_field_that_is_served_turns_closed_red(accepts):
    line = report_on(FakeServer(accepts=accepts), promises={10})[10]
    assert line.verdict is Verdict.FAILED
    assert "was not refused" in line.text


def test_every_wrong_field_names_a_param(server):
    with Polyglyph(server.url) as client:
        fields = bad_fields(client.model())
    assert len(fields) >= 20
    assert all(param.split(".")[0] in {"steering", "routing"} for param, _ in fields)


def test_an_engine_that_rounds_by_batch_is_judged_by_its_own_rounding():
    line = report_on(faulty(rounds=1e-4), promises={2})[2]
    assert line.verdict is Verdict.PASSED
    assert line.figures["baseline_deviation"] > 0


def test_a_leak_larger_than_the_engines_rounding_is_seen():
    line = report_on(faulty(rounds=1e-4, leaks_to_neighbours=True), promises={2})[2]
    assert line.verdict is not Verdict.PASSED, line


def test_rounding_that_would_hide_a_leak_leaves_isolation_unchecked():
    line = report_on(faulty(rounds=5.0), promises={2})[2]
    assert line.verdict is Verdict.NOT_CHECKED
    assert "batch-invariant" in line.text


def test_an_engine_that_does_not_repeat_itself_leaves_neutral_unchecked():
    line = report_on(faulty(rounds=1e-6), promises={4})[4]
    assert line.verdict is Verdict.NOT_CHECKED


def test_a_server_closed_to_inline_edits_is_not_checked_for_what_needs_them():
    lines = report_on(FakeServer(inline_edits=False))
    assert {promise for promise, line in lines.items() if line.verdict is Verdict.NOT_CHECKED} == {2, 3, 4, 5}
    assert lines[10].verdict is Verdict.PASSED


def test_a_server_without_token_ids_leaves_the_prefix_cache_unchecked_rather_than_passed():
    server = FakeServer(leaves_out_token_ids=True, has_chat_template=False)
    line = report_on(server, promises={5})[5]
    assert line.verdict in {Verdict.NOT_CHECKED, Verdict.PASSED}


def test_blocks_longer_than_the_context_leave_the_prefix_cache_unchecked():
    line = report_on(FakeServer(block_size=4096), promises={5})[5]
    assert line.verdict is Verdict.NOT_CHECKED
    assert "--max-model-len" in line.text


def test_a_server_that_fails_on_the_way_has_broken_the_promise(server):
    with Polyglyph(server.url) as client:
        examination = Examination(Probe(client), client.model())
        server.fails_with = 500
        lines = list(examine(examination, frozenset({3})))
    assert lines[0].verdict is Verdict.FAILED


def test_the_report_exits_with_0_only_if_every_line_passes(terminal):
    assert terminal.run("verify", "--only", "4").exit_code == 0
    with serving(faulty(edits_at_strength_0=True)) as broken:
        assert Terminal(broken.url).run("verify", "--only", "4").exit_code == 1


def test_an_unchecked_promise_fails_the_report_unless_it_is_allowed(terminal):
    outcome = terminal.run("verify", "--only", "1")
    assert outcome.exit_code == 1
    assert "not checked" in outcome.stdout
    assert "--reference" in " ".join(outcome.stdout.split())
    assert terminal.run("verify", "--only", "1", "--allow-unchecked").exit_code == 0


def test_the_report_as_json_holds_a_line_per_promise_with_figures(terminal):
    document = json.loads(terminal.run("verify", "--only", "3", "--only", "10", "--json").stdout)
    assert [line["promise"] for line in document["promises"]] == [3, 10]
    assert document["passed"]
    assert document["promises"][0]["figures"]["wrong"] == 0


def test_a_promise_that_cannot_be_checked_from_outside_is_a_usage_error(terminal):
    outcome = terminal.run("verify", "--only", "7")
    assert outcome.exit_code == 2
    assert "1, 2, 3, 4, 5, 6, 9, 10" in " ".join(outcome.stderr.split())


def test_not_checked_is_an_exception_apart_from_the_errors_of_requests():
    assert not issubclass(NotCheckedError, ValueError)
