"""Promise 6: selections are top-k x tokens x layers in every group, and tokens those that the engine computed.

Requests under a tag of their own give three accounts of the same tokens: the API's usage, each request's own routing
(its sums, and its tokens one by one) and the server's stats. They must agree exactly. Speculative decoding may accept
drafts behind the end of an answer, which went through the model and are in no usage.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from polyglyph.clients.answers import LoadedModel
from polyglyph.clients.verify.drafts import drafts_text, max_drafts
from polyglyph.clients.verify.edits import counts_PLE
from polyglyph.clients.verify.examination import Examination
from polyglyph.clients.verify.line import Finding
from polyglyph.clients.verify.outcome import Outcome
from polyglyph.clients.verify.probe import Question, new_nonce
from polyglyph.clients.verify.prompts import TEXTS, long_text, marked
from polyglyph.clients.verify.tag_sums import TagSums, sums_of
from polyglyph.contract.plan import PHASES

if TYPE_CHECKING:
    import numpy as np

LONG_WORDS = 64
LONG_CONTEXT = 1024
"""Words of a prompt that is asked twice, for the prefix cache, and the shortest context that surely holds it."""


def check_conservation(examination: Examination) -> Finding:
    """Ask under a fresh tag, and compare usage, traces, summaries and stats."""
    tag = f"verify-{new_nonce()}"
    outcomes = [
        examination.probe.ask_raw(question, is_streamed=is_streamed)
        for question, is_streamed in _questions(examination, tag)
    ]
    passed = sum(outcome.passed_tokens for outcome in outcomes)
    num_sequences = sum(len(outcome.samples) for outcome in outcomes)
    surplus = num_sequences * max_drafts(examination.model.engine)
    figures: dict[str, Any] = {"requests": len(outcomes), "sequences": num_sequences, "tokens": passed}
    text = f"usage, traces, summaries and stats of one tag agree{drafts_text(examination.model.engine)}"
    if fault := next((fault for outcome in outcomes for fault in trace_faults(outcome, examination.model)), None):
        return Finding(text, fault, figures)
    sums = sums_of(examination, tag, is_settled=lambda sums: sums.passed_tokens >= passed)
    figures |= {"groups": sums.num_groups, "computed": sums.tokens, "cached": sums.cached_tokens}
    figures["selections"] = int(sums.selected_PLE.sum())
    fault = sums.uneven or tokens_fault(sums, passed, surplus=surplus) or _experts_fault(sums, outcomes, examination)
    return Finding(text, fault, figures)


def trace_faults(outcome: Outcome, model: LoadedModel) -> Iterator[str]:
    """Compare a request's tokens, one by one, with its own sums: by phase, layer and expert."""
    routing = outcome.routing
    if routing is None or routing.summary is None or len(routing.sequences) != len(outcome.samples):
        yield "the server did not return the summary and one trace per choice that a request asked for"
        return
    expected = counts_PLE(routing.summary, model)
    found = traced_PLE(outcome, model)
    for phase, layer, expert in zip(*(expected != found).nonzero(), strict=True):
        yield (
            f"phase {PHASES[phase]}, MoE layer {layer}, expert {expert}: the trace has {found[phase, layer, expert]} "
            f"selections, the summary {expected[phase, layer, expert]}"
        )
    for phase, num_tokens in zip(routing.summary.phases, routing.summary.num_tokens, strict=True):
        traced = sum(int((trace.computed & (trace.phases == phase)).sum()) for trace in routing.sequences)
        if traced != num_tokens:
            yield f"phase {phase}: the trace has {traced} computed tokens, the summary {num_tokens}"


def traced_PLE(outcome: Outcome, model: LoadedModel) -> "np.ndarray":
    """Add up the computed rows of a request's traces: int64 by phase, MoE layer and expert."""
    import numpy as np

    experts = model.binding.experts
    sequences = outcome.routing.sequences if outcome.routing else ()
    counts = np.zeros((len(PHASES), model.binding.layers, experts), np.int64)
    for trace in sequences:
        for row, phase in enumerate(PHASES):
            counts[row] += trace.selected(experts, where=trace.computed & (trace.phases == phase))
    return counts


def tokens_fault(sums: TagSums, passed: int, *, surplus: int) -> str | None:
    """Say what is wrong with the number of tokens, if anything.

    Args:
        sums: What was counted.
        passed: What the usage says went through the model.
        surplus: How many tokens more may have been.
    """
    if passed <= sums.passed_tokens <= passed + surplus:
        return None
    allowed = f" to {passed + surplus}" if surplus else ""
    return f"{sums.tokens} tokens computed and {sums.cached_tokens} cached were counted, expected {passed}{allowed}"


def _experts_fault(sums: TagSums, outcomes: list[Outcome], examination: Examination) -> str | None:
    expected = sum(traced_PLE(outcome, examination.model) for outcome in outcomes)
    differing = (sums.selected_PLE != expected).sum()
    if not differing:
        return None
    return f"{differing} sums by phase, layer and expert differ between the stats and the traces of their requests"


def _questions(examination: Examination, tag: str) -> Iterator[tuple[Question, bool]]:
    """Give requests, each with whether it is streamed: several scripts, steered or not, one answer or two."""
    steerings = [examination.unsteered]
    if examination.model.settings.inline_edits:
        steerings.append({"edits": examination.strong_edits})
    for index, text in enumerate(TEXTS):
        for steering in steerings:
            yield _question(examination, marked(new_nonce(), text), tag, steering), index % 2 == 0
            yield _question(examination, marked(new_nonce(), text), tag, steering, num_choices=2), index % 2 == 1
    if examination.probe.max_model_len >= LONG_CONTEXT:
        long = _question(examination, long_text(new_nonce(), LONG_WORDS), tag, examination.unsteered)
        yield from [(long, False), (long, True)]


def _question(examination: Examination, prompt: str, tag: str, steering: object, *, num_choices: int = 1) -> Question:
    return Question(
        prompt=prompt,
        is_raw=True,
        steering=steering,
        max_tokens=examination.max_tokens,
        temperature=0.8 if num_choices > 1 else 0.0,
        seed=7 if num_choices > 1 else None,
        # An answer that ends early is known to have ended only after the next step, which then counts too.
        has_fixed_length=True,
        wants_summary=True,
        wants_tokens=True,
        tag=tag,
        num_choices=num_choices,
    )
