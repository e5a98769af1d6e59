"""Promise 9: streaming, several choices and abort change neither what is computed nor what is counted.

The same request is asked whole, streamed, and with two choices; all must give the same tokens, log-probabilities and
experts. An engine may round otherwise when two sequences share a step. So where a choice differs, two requests with
one choice each are sent together, some times: what they give is as good an answer as the one given alone, and so is
one that lies as near to it as they do.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from polyglyph.clients.routing import Trace
from polyglyph.clients.verify.abort import abort_fault
from polyglyph.clients.verify.examination import Examination
from polyglyph.clients.verify.line import Finding, NotCheckedError
from polyglyph.clients.verify.outcome import Outcome
from polyglyph.clients.verify.probe import Question, new_nonce
from polyglyph.clients.verify.prompts import TEXTS, marked
from polyglyph.clients.verify.sample import Sample

NUM_TEXTS = 3
NUM_REPEATS = 6
"""How often to ask again before a difference is laid at the server's door."""
SLACK = 2.0
"""How far beyond the deviation of the repeats an output may lie: a few do not show its extremes."""


@dataclass(frozen=True)
class Sequence:
    """One sequence: what was sampled, and which experts computed it."""

    sample: Sample
    trace: Trace

    def difference(self, other: "Sequence") -> str | None:
        """Put in words where two sequences first differ, in the rows computed by both; None where they do not."""
        if not self.sample.equals(other.sample):
            return self.sample.difference(other.sample)
        if self.trace.ids.shape != other.trace.ids.shape:
            return f"the trace has shape {self.trace.ids.shape} instead of {other.trace.ids.shape}"
        both = self.trace.computed & other.trace.computed
        for name in ("ids", "token_ids", "phases", "steered"):
            is_other = (getattr(self.trace, name) != getattr(other.trace, name))[both]
            if is_other.any():
                rows = is_other.reshape(len(is_other), -1).any(axis=1)
                return f"'{name}' of the trace differ in {rows.sum()} of {both.sum()} rows computed by both"
        return None


def check_serving(examination: Examination) -> Finding:
    """Ask whole, streamed and with two choices, steered and not; then go away from a stream.

    Raises:
        NotCheckedError: One of these could not be looked at, and the other shows no fault.
    """
    figures: dict[str, Any] = {"compared": 0, "rows": 0, "rounded": 0}
    unchecked: NotCheckedError | None = None
    for part in (_forms_fault, abort_fault):
        try:
            fault = part(examination, figures)
        except NotCheckedError as error:
            unchecked = unchecked or error
            continue
        if fault:
            return Finding("", fault, figures)
    if unchecked:
        raise unchecked
    text = "whole, streamed and with two choices the same by token and expert"
    text += " (within the engine's own rounding, which separate requests show too)" if figures["rounded"] else ""
    return Finding(f"{text}; an aborted stream is counted as far as it came", None, figures)


def _forms_fault(examination: Examination, figures: dict[str, Any]) -> str | None:
    return next(_faults(examination, figures), None)


def _faults(examination: Examination, figures: dict[str, Any]) -> Iterator[str]:
    steerings = {"unsteered": examination.unsteered}
    if examination.model.settings.inline_edits:
        steerings["steered"] = {"edits": examination.strong_edits}
    for text in TEXTS[:NUM_TEXTS]:
        for name, steering in steerings.items():
            question = _question(examination, marked(new_nonce(), text), steering)
            for form, fault in _compare(examination, question, figures):
                yield f"{name}, {form}: {fault}"


def _compare(examination: Examination, question: Question, figures: dict[str, Any]) -> Iterator[tuple[str, str]]:
    whole = _ask(examination, question)[0]
    forms = {
        "streamed": _ask(examination, question, is_streamed=True),
        "two choices": _ask(examination, replace(question, num_choices=2)),
        "two choices, streamed": _ask(examination, replace(question, num_choices=2), is_streamed=True),
    }
    for form, sequences in forms.items():
        for sequence in sequences:
            figures["compared"] += 1
            figures["rows"] += int(sequence.trace.computed.sum())
            fault = sequence.difference(whole)
            if fault and not _is_rounding(examination, question, sequence, whole, is_alone=form == "streamed"):
                yield form, fault
            figures["rounded"] += fault is not None


def _is_rounding(
    examination: Examination, question: Question, sequence: Sequence, whole: Sequence, *, is_alone: bool
) -> bool:
    """Whether the engine gives this sequence, or one as near, to requests of their own too.

    Raises:
        NotCheckedError: It gives them something else than the one alone, and nothing as far from it as this.
    """
    repeats = [
        repeat
        for _ in range(NUM_REPEATS)
        for repeat in ([_ask(examination, question)[0]] if is_alone else _ask_together(examination, question))
    ]
    noise = max(repeat.sample.deviation(whole.sample) for repeat in repeats)
    is_near = 0.0 < sequence.sample.deviation(whole.sample) <= SLACK * noise
    if is_near or any(sequence.difference(repeat) is None for repeat in repeats):
        return True
    if all(repeat.difference(whole) is None for repeat in repeats):
        return False
    raise NotCheckedError(
        "the engine does not repeat itself, even for the same requests: "
        f"{next(filter(None, (repeat.difference(whole) for repeat in repeats)))}; start the server batch-invariant"
    )


def _ask(examination: Examination, question: Question, *, is_streamed: bool = False) -> list[Sequence]:
    # With a fresh salt every row is computed, but for what choices share.
    cold = replace(question, cache_salt=new_nonce())
    return _sequences(examination.probe.ask_raw(cold, is_streamed=is_streamed))


def _ask_together(examination: Examination, question: Question) -> list[Sequence]:
    cold = [replace(question, cache_salt=new_nonce()) for _ in range(2)]
    outcomes = examination.probe.together(examination.probe.ask_raw, cold)
    return [sequence for outcome in outcomes for sequence in _sequences(outcome)]


def _sequences(outcome: Outcome) -> list[Sequence]:
    traces = outcome.routing.sequences if outcome.routing else ()
    if len(traces) != len(outcome.samples):
        raise NotCheckedError("the server returned no trace for a request that asked for one")
    return [Sequence(sample, trace) for sample, trace in zip(outcome.samples, traces, strict=True)]


def _question(examination: Examination, prompt: str, steering: object) -> Question:
    return Question(
        prompt=prompt,
        is_raw=True,
        steering=steering,
        max_tokens=examination.max_tokens,
        # Greedy, in the form that vLLM lets several choices have. Not by top_k: it keeps all of equal logits, and vLLM
        # 0.32's rejection sampler dies of it on processors in a step without drafts ("max(): Expected reduction dim").
        temperature=1.0,
        top_p=1e-6,
        has_fixed_length=True,
        wants_tokens=True,
    )
