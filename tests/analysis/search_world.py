"""A little world to search in: a benchmark, stats, and a server that knows the answers when it is steered right.

Layer 0 has an expert for each script, layer 1 none. A question asked across scripts is answered when the router is
pushed to the source's expert by 1 to 4 standard deviations; one asked at home unless it is pushed by more than 3.
"""

import json
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import icu
import numpy as np

from polyglyph.analysis.evaluation.benchmark import Header, Prompts
from polyglyph.analysis.evaluation.item import Item
from polyglyph.analysis.evaluation.reading import make_benchmark
from polyglyph.clients.async_client import AsyncPolyglyph
from polyglyph.contract.exports.loaded import LoadedStats
from polyglyph.contract.model import ModelBinding, RouterDescription
from polyglyph.contract.routing import ArrayDocument
from polyglyph.contract.stats import StatsHeader
from polyglyph.contract.sums import GroupKey, GroupSums
from tests.support import loopback

SCRIPTS = ("Cyrl", "Geor", "Latn")
SUFFIXES = {"Cyrl": "rov", "Geor": "vil", "Latn": "ton"}
NUM_ENTITIES = 20
MODEL = ModelBinding(architecture="Qwen3MoeForCausalLM", layers=2, experts=8, top_k=2, fingerprint="sha256:" + "a" * 64)
SYLLABLES = ("ba", "di", "gu", "ke", "lo", "ma", "ni", "pu", "re", "so")


def written(text, script):
    if script == "Latn":
        return text
    name = {"Cyrl": "Latin-Cyrillic", "Geor": "Latin-Georgian"}[script]
    return icu.Transliterator.createInstance(name).transliterate(text)


def items(scripts=SCRIPTS):
    for source in scripts:
        for number in range(NUM_ENTITIES):
            name = SYLLABLES[number % 10] + SYLLABLES[number // 10 + 3] + SUFFIXES[source]
            for target in scripts:
                yield Item(
                    id=f"{name}.{target}",
                    entity=name,
                    fact=name,
                    question=written(f"{name} lomena", target),
                    source_script=source,
                    target_script=target,
                    answers=(f"{len(name)} {number}",),
                )


def benchmark(**header):
    made = Header(name="little", scorer="exact", max_tokens=8, prompts=Prompts(), **header)
    return make_benchmark(made, list(items()))


def stats(*, scripts=SCRIPTS):
    selected = {script: np.zeros((2, 8), dtype=np.int64) for script in scripts}
    for index, script in enumerate(scripts):
        selected[script][0, [index, 7]] = 100
        selected[script][1] = 25
    groups = (
        GroupSums(
            key=GroupKey(script, script, "prompt", "", "corpus"),
            tokens=100,
            cached_tokens=0,
            selected_LE=selected[script],
            weight_sum_LE=selected[script] / 2,
        )
        for script in scripts
    )
    header = StatsHeader(
        model_fingerprint=MODEL.fingerprint,
        layers=2,
        experts=8,
        top_k=2,
        since="2026-01-01T00:00:00Z",
        until="2026-01-02T00:00:00Z",
        versions={},
    )
    return LoadedStats(header=header, groups=tuple(groups))


class DiedError(Exception):
    """The process ends here."""


@dataclass
class LittleServer:
    """Answers over a fake transport.

    Attributes:
        dies_after: Requests after which nothing answers any more.
        is_deaf: Steering changes no answer.
        asked: Ids of the items that were asked, in order.
    """

    benchmark: object = field(default_factory=benchmark)
    dies_after: int | None = None
    is_deaf: bool = False
    asked: list = field(default_factory=list)

    def __post_init__(self):
        self.items = {item.question: item for item in self.benchmark.items}

    def client(self):
        return AsyncPolyglyph("http://fake", api_key="k", admin_key="a", transport=httpx.MockTransport(self.answer))

    def answer(self, request):
        path = request.url.path
        if path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": "little"}]})
        if path == "/v1/routing/model":
            return httpx.Response(200, json=self._model())
        return self._chat(json.loads(request.content))

    def _model(self):
        routers = [
            RouterDescription(layer=n, model_layer=n, name=f"r{n}", kind="softmax", experts=8, top_k=2).model_dump()
            for n in range(2)
        ]
        return {"binding": MODEL.model_dump(), "routers": routers, "workers": []}

    def _chat(self, body):
        if self.dies_after is not None and len(self.asked) >= self.dies_after:
            raise DiedError
        item = self.items[body["messages"][-1]["content"]]
        self.asked.append(item.id)
        steering = body["steering"] or {}
        edits = steering.get("edits", [])
        push = sum(
            edit.get("value", 0.0)
            for edit in edits
            if edit["layer"] == 0 and edit["experts"] == [SCRIPTS.index(item.source_script)]
        )
        most = max((edit.get("value", 0.0) for edit in edits), default=0.0)
        is_right = most <= 3 if not item.is_cross else 1 <= push <= 4 and not self.is_deaf
        document = {
            "choices": [
                {"index": 0, "finish_reason": "stop", "message": {"content": item.answers[0] if is_right else "no"}}
            ],
            "usage": {"prompt_tokens": 3, "completion_tokens": 1},
            "steering": {"applied": bool(edits)},
        }
        if "routing" in body:
            document["routing"] = {"summary": _summary(item)}
        return httpx.Response(200, json=document)


def selected_for(item):
    """The prompt's selections: the source's expert of layer 1 a little more often than others."""
    selected_LE = np.full((2, 8), 4, dtype=np.int32)
    selected_LE[1, SCRIPTS.index(item.source_script)] += 4
    selected_LE[0, len(item.id) % 8] += 2
    return selected_LE


def _summary(item):
    selected = np.zeros((3, 2, 8), dtype=np.int32)
    selected[0] = selected_for(item)
    return {
        "phases": ["prompt", "reasoning", "answer"],
        "layers": [0, 1],
        "num_tokens": [3, 0, 0],
        "selected": ArrayDocument.from_numpy(selected).model_dump(mode="json"),
    }


@contextmanager
def listening(server):
    """Let a little server answer on a loopback port; gives its URL."""

    def answer(asked):
        reply = server.answer(httpx.Request(asked.method, f"http://fake{asked.path}", content=asked.data))
        return reply.status_code, reply.json()

    with loopback.listening(answer) as port:
        yield f"http://127.0.0.1:{port}"
