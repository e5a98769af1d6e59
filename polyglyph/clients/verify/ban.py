"""Promise 3: a banned expert is selected 0 times in the phases of the plan, a forced one every time."""

from typing import Any

from polyglyph.clients.verify.edits import counts_PLE
from polyglyph.clients.verify.examination import Examination
from polyglyph.clients.verify.line import Finding, NotCheckedError
from polyglyph.clients.verify.probe import Question, new_nonce
from polyglyph.clients.verify.prompts import TEXTS, marked
from polyglyph.clients.verify.sample import Sample
from polyglyph.contract.plan import PHASES

PHASE_SETS: tuple[tuple[str, ...], ...] = (PHASES, ("prompt",), ("reasoning", "answer"))


def check_ban(examination: Examination) -> Finding:
    """Ban the most used experts and force idle ones, and read what was selected."""
    bans, forces = examination.bans, examination.forces
    if not bans and not forces:
        raise NotCheckedError("no layer of this model can ban or force an expert")
    figures = {"banned": _num_experts(bans), "forced": _num_experts(forces), "tokens": 0, "wrong": 0, "dose": 0.0}
    fault = None
    for phases in PHASE_SETS:
        for edits in (bans, forces):
            for text in TEXTS[:3] if edits else ():
                sample = _ask_steered(examination, text, edits, phases)
                fault = fault or _fault(examination, sample, edits, phases, figures)
    text = "the most used experts banned and idle ones forced, by phase"
    return Finding(text, fault, figures)


def _ask_steered(examination: Examination, text: str, edits: list[Any], phases: tuple[str, ...]) -> Sample:
    return examination.probe.ask(
        Question(
            prompt=marked(new_nonce(), text),
            steering={"edits": edits, "phases": list(phases)},
            max_tokens=examination.max_tokens,
            has_fixed_length=True,
            wants_summary=True,
        )
    )


def _fault(
    examination: Examination, sample: Sample, edits: list[Any], phases: tuple[str, ...], figures: dict[str, Any]
) -> str | None:
    if sample.steering is None or not sample.steering.applied:
        return "the server did not say that it steered a request with edits"
    if sample.summary is None:
        return "the server returned no routing summary for a steered request"
    if not sample.steering.dose:
        return f"'{edits[0]['op']}' edits changed no selection (dose {sample.steering.dose})"
    figures["dose"] = max(figures["dose"], round(sample.steering.dose, 4))
    counts = counts_PLE(sample.summary, examination.model)
    for row, phase in enumerate(sample.summary.phases):
        num_tokens = sample.summary.num_tokens[row]
        figures["tokens"] += num_tokens
        for edit in edits if phase in phases else ():
            expected = 0 if edit["op"] == "ban" else num_tokens
            for expert in edit["experts"]:
                found = int(counts[row, edit["layer"], expert])
                if found != expected:
                    figures["wrong"] += 1
                    return (
                        f"layer {edit['layer']}, expert {expert}, op '{edit['op']}': selected {found} times in the "
                        f"{num_tokens} tokens of phase {phase}, expected {expected}"
                    )
    return None


def _num_experts(edits: list[Any]) -> int:
    return sum(len(edit["experts"]) for edit in edits)
