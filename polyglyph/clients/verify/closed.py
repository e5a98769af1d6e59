"""Promise 10: what cannot be steered as asked is refused, and every worker has its hooks on every MoE layer."""

from collections.abc import Iterator
from typing import Any

from polyglyph.clients.answers import LoadedModel
from polyglyph.clients.errors import openai_errors
from polyglyph.clients.verify.edits import counts_PLE
from polyglyph.clients.verify.examination import Examination
from polyglyph.clients.verify.line import Finding
from polyglyph.clients.verify.probe import Question, new_nonce
from polyglyph.clients.verify.prompts import TEXTS, marked
from polyglyph.contract.errors import RequestError


def check_closed(examination: Examination) -> Finding:
    """Send fields that must be refused, and look at the hooks from both sides."""
    bad = [
        (param, fields)
        for param, fields in bad_fields(examination.model)
        # Without inline edits the server refuses them before it reads them.
        if examination.model.settings.inline_edits or not _has_edits(fields)
    ]
    faults = [fault for param, fields in bad if (fault := _refusal_fault(examination, param, fields))]
    faults += hook_faults(examination.probe.server.model())
    faults += _count_faults(examination)
    faults += _effect_faults(examination)
    num_hooks = sum(len(worker.hooks) for worker in examination.model.workers)
    figures = {"refused": len(bad), "hooks": num_hooks, "faults": faults}
    text = f"{len(bad)} wrong requests and {num_hooks} hooks on {len(examination.model.workers)} workers"
    return Finding(text, faults[0] if faults else None, figures)


def bad_fields(model: LoadedModel) -> list[tuple[str, dict[str, Any]]]:
    """Give request fields that the server must refuse, each with the beginning of the `param` it must name."""
    router = model.routers[0]
    every = list(range(router.experts))
    ban: dict[str, Any] = {"layer": 0, "experts": [0], "op": "ban"}
    steerings: list[tuple[str, Any]] = [
        ("steering", True),
        ("steering", 1),
        ("steering", ""),
        ("steering", [ban]),
        ("steering", f"no-such-plan-{new_nonce()}"),
        ("steering.plan", {"plan": f"no-such-plan-{new_nonce()}"}),
        ("steering.strenght", {"strenght": 1.0}),
        ("steering.strength", {"strength": "1", "edits": [ban]}),
        ("steering.strength", {"strength": 1e6, "edits": [ban]}),
        ("steering.phases", {"phases": [], "edits": [ban]}),
        ("steering.phases[0]", {"phases": ["thinking"], "edits": [ban]}),
        ("steering.edits[0].layer", {"edits": [{**ban, "layer": len(model.routers)}]}),
        ("steering.edits[0].layer", {"edits": [{**ban, "layer": -1}]}),
        ("steering.edits[0].experts", {"edits": [{**ban, "experts": [router.experts]}]}),
        ("steering.edits[0].experts", {"edits": [{**ban, "experts": []}]}),
        ("steering.edits[0].experts", {"edits": [{**ban, "experts": every}]}),
        ("steering.edits[0].experts", {"edits": [{**ban, "op": "force", "experts": every[: router.top_k + 1]}]}),
        ("steering.edits[0].op", {"edits": [{**ban, "op": "forbid"}]}),
        ("steering.edits[0]", {"edits": [{**ban, "value": 1.0}]}),
        ("steering.edits[0]", {"edits": [{**ban, "op": "add"}]}),
        ("steering.edits[1]", {"edits": [ban, {**ban, "op": "force"}]}),
        ("steering.edits[0]", {"strength": -1.0, "edits": [ban]}),
    ]
    routings: list[tuple[str, Any]] = [
        ("routing", "summary"),
        ("routing.return", {"return": ["everything"]}),
        ("routing.layers", {"return": ["summary"], "layers": [len(model.routers)]}),
        ("routing.tag", {"tag": "two words"}),
        ("routing.wieghts", {"wieghts": True}),
    ]
    fields = [(param, {"steering": value}) for param, value in steerings]
    return fields + [(param, {"routing": value}) for param, value in routings]


def hook_faults(model: LoadedModel) -> list[str]:
    """Name every MoE layer that a worker does not hook."""
    faults = [fault for worker in model.workers for fault in _worker_faults(worker.rank, worker)]
    hooked = {hook.layer for worker in model.workers for hook in worker.hooks}
    missing = [router.layer for router in model.routers if router.layer not in hooked]
    return faults + ([f"no worker hooks MoE layers {missing}"] if missing else [])


def _worker_faults(rank: int, worker: Any) -> Iterator[str]:
    if len(worker.hooks) != worker.expected_layers:
        yield f"worker {rank} hooks {len(worker.hooks)} of its {worker.expected_layers} MoE layers"
    for hook in worker.hooks:
        if not hook.in_place:
            yield f"worker {rank}: the hook of MoE layer {hook.layer} is no longer in place"
        if not hook.has_run:
            yield f"worker {rank}: the hook of MoE layer {hook.layer} has never run"


def _count_faults(examination: Examination) -> Iterator[str]:
    """Look at the hooks from outside: every token must have been counted top-k times in every layer."""
    prompt = marked(new_nonce(), TEXTS[0])
    summary = examination.probe.ask(Question(prompt=prompt, max_tokens=8, wants_summary=True)).summary
    if summary is None:
        yield "the server returned no routing summary for a request that asked for one"
        return
    if not sum(summary.num_tokens):
        yield "the server counted no token of a request"
    counts = counts_PLE(summary, examination.model).sum(axis=2)
    for row, phase in enumerate(summary.phases):
        for router in examination.model.routers:
            expected = router.top_k * summary.num_tokens[row]
            if counts[row, router.layer] != expected:
                yield (
                    f"MoE layer {router.layer}: {counts[row, router.layer]} selections counted in phase {phase}, "
                    f"expected {router.top_k} x {summary.num_tokens[row]} tokens"
                )


def _effect_faults(examination: Examination) -> Iterator[str]:
    """Look once more: a layer without its hook may repeat old counts, but it cannot honour a ban."""
    if not examination.model.settings.inline_edits:
        return
    question = Question(
        prompt=marked(new_nonce(), TEXTS[1]), steering={"edits": examination.bans}, max_tokens=8, wants_summary=True
    )
    summary = examination.probe.ask(question).summary
    if summary is None:
        yield "the server returned no routing summary for a steered request that asked for one"
        return
    counts = counts_PLE(summary, examination.model).sum(axis=0)
    for edit in examination.bans:
        if counts[edit["layer"], edit["experts"]].any():
            yield f"MoE layer {edit['layer']} selected experts that were banned: its hook does not act"


def _has_edits(fields: dict[str, Any]) -> bool:
    steering = fields.get("steering")
    return isinstance(steering, dict) and "edits" in steering


def _refusal_fault(examination: Examination, param: str, fields: dict[str, Any]) -> str | None:
    """Send one wrong request; give what is wrong with the answer, if anything."""
    server = examination.probe.server
    try:
        with openai_errors(server.url):
            server.openai.with_options(max_retries=0).completions.create(
                model=examination.probe.model_name, prompt="?", max_tokens=1, extra_body=fields
            )
    except RequestError as error:
        if error.status >= 500:
            return f"{fields} made the server fail: {error}"
        if not (error.param or "").startswith(param):
            return f"{fields} was refused with param {error.param!r}, expected one that begins with '{param}'"
        return None
    return f"{fields} was not refused"
