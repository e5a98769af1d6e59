"""A tiny deterministic Mixture of Experts with a prefix cache: what a server computes, without an engine.

Each token folds the experts it was routed to into a hash; the hash decides the next token and its log-probability.
So a token that was routed otherwise, or keys and values of another steering, change everything that follows.
"""

import hashlib
import threading
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from polyglyph.contract.model import ModelBinding, ModelDescription, RouterDescription
from polyglyph.contract.plan import PHASES, Edit
from polyglyph.contract.routing import ArrayDocument, RoutingSummary, RoutingTokens

NUM_LAYERS = 3
NUM_EXPERTS = 8
TOP_K = 2
VOCABULARY = 1 << 20
BLOCK = 16

MODEL = ModelDescription(
    binding=ModelBinding(
        architecture="FakeMoeForCausalLM",
        layers=NUM_LAYERS,
        experts=NUM_EXPERTS,
        top_k=TOP_K,
        fingerprint="sha256:" + "5" * 64,
    ),
    routers=tuple(
        RouterDescription(
            layer=layer,
            model_layer=layer,
            name=f"model.layers.{layer}.mlp",
            kind="softmax",
            experts=NUM_EXPERTS,
            top_k=TOP_K,
        )
        for layer in range(NUM_LAYERS)
    ),
)


@dataclass(frozen=True)
class Faults:
    """What this engine does wrong."""

    ignores_edits: bool = False
    edits_at_strength_0: bool = False
    shares_cache_across_steering: bool = False
    shares_steered_answers_with_prompts: bool = False
    leaks_to_neighbours: bool = False
    lost_hook: int | None = None
    rounds: float = 0.0
    """Size of a deviation that differs from request to request, as an engine's that is not batch-invariant."""
    offset: float = 0.0
    """Added to every log-probability."""


@dataclass(frozen=True)
class Steering:
    edits: tuple[Edit, ...] = ()
    strength: float = 1.0
    phases: tuple[str, ...] = PHASES

    @property
    def is_active(self) -> bool:
        return bool(self.edits) and self.strength != 0

    @property
    def salt(self) -> str:
        return f"{self.edits}{self.strength}{sorted(self.phases)}" if self.is_active else ""


@dataclass(frozen=True)
class Row:
    """One token that went through the model, or came from the cache."""

    token_id: int
    phase: str
    computed: bool = False
    steered: bool = False
    experts: tuple[list[int], ...] = ()


@dataclass
class Result:
    prompt_ids: list[int]
    ids: list[int]
    logprobs: list[float]
    top: list[dict[int, float]]
    num_cached: int
    num_tokens: list[int]
    selected: np.ndarray
    tokens_steered: int
    dose: float
    rows: list["Row"]

    def first(self, num_rows: int) -> "Result":
        """Give what there was when so many tokens had gone through."""
        rows = [row for row in self.rows[:num_rows] if row.computed]
        selected = np.zeros_like(self.selected)
        for row in rows:
            for layer, chosen in enumerate(row.experts):
                selected[PHASES.index(row.phase), layer, chosen] += 1
        num_tokens = [sum(row.phase == phase for row in rows) for phase in PHASES]
        return replace(self, rows=self.rows[:num_rows], num_tokens=num_tokens, selected=selected)

    def with_drafts(self, num_drafts: int) -> "Result":
        """Give what there is when drafts behind the end were accepted."""
        rows = self.rows + self.rows[-num_drafts:]
        return replace(self, rows=rows).first(len(rows))

    @property
    def trace(self) -> RoutingTokens:
        ids = np.full((len(self.rows), NUM_LAYERS, TOP_K), 255, np.uint8)
        for index, row in enumerate(self.rows):
            for layer, chosen in enumerate(row.experts):
                ids[index, layer, : len(chosen)] = chosen
        return RoutingTokens(
            num_tokens=len(self.rows),
            layers=tuple(range(NUM_LAYERS)),
            ids=ArrayDocument.from_numpy(ids),
            token_ids=tuple(row.token_id for row in self.rows),
            scripts=("Latn",) * len(self.rows),
            phases=tuple(row.phase for row in self.rows),
            computed=tuple(row.computed for row in self.rows),
            steered=tuple(row.steered for row in self.rows),
        )

    @property
    def summary(self) -> RoutingSummary:
        return RoutingSummary(
            layers=tuple(range(NUM_LAYERS)),
            num_tokens=tuple(self.num_tokens),
            selected=ArrayDocument.from_numpy(self.selected.astype(np.int32)),
        )


@dataclass
class FakeEngine:
    faults: Faults = field(default_factory=Faults)
    cache: dict[Any, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    num_active_steered: int = 0
    num_requests: int = 0

    def generate(self, prompt: list[int], steering: Steering, *, max_tokens: int, seed: int, salt: str) -> Result:
        with self.lock:
            self.num_requests += 1
            noise = self.faults.rounds * (_hash(self.num_requests, 0, "round") % 7)
            return self._generate(prompt, steering, max_tokens=max_tokens, seed=seed, salt=salt, noise=noise)

    def _generate(
        self, prompt: list[int], steering: Steering, *, max_tokens: int, seed: int, salt: str, noise: float
    ) -> Result:
        own_salt = "" if self.faults.shares_cache_across_steering else steering.salt
        tokens = list(prompt)
        num_cached, state = self._cached(prompt, f"{salt}|{own_salt}", len(prompt))
        selected = np.zeros((3, NUM_LAYERS, NUM_EXPERTS), dtype=np.int64)
        num_tokens, changed, steered = [0, 0, 0], 0, 0
        logprobs: list[float] = []
        top: list[dict[int, float]] = []
        leaks = self.faults.leaks_to_neighbours and self.num_active_steered > 0
        position = num_cached
        rows = [Row(token, "prompt") for token in prompt[:num_cached]]
        while len(tokens) - len(prompt) < max_tokens:
            token = tokens[position]
            phase = "prompt" if position < len(prompt) else "answer"
            is_steered = steering.is_active and phase in steering.phases
            experts, num_changed = self._route(state, token, steering if is_steered else Steering(), leaks=leaks)
            steered, changed = steered + is_steered, changed + num_changed
            num_tokens[PHASES.index(phase)] += 1
            rows.append(Row(token, phase, computed=True, steered=is_steered, experts=tuple(experts)))
            for layer, chosen in enumerate(experts):
                selected[PHASES.index(phase), layer, chosen] += 1
            state = _hash(state, token, str(experts))
            position += 1
            self._store(tokens, position, f"{salt}|{own_salt}", len(prompt), state)
            if position == len(tokens):
                probabilities = {(state // 7 + i * 11) % VOCABULARY: -0.1 * (i + 1) for i in range(5)}
                token = list(probabilities)[(state + seed) % 3 if seed else 0]
                deviation = (state % 97) / 1000 + noise + self.faults.offset
                top.append({key: value - deviation for key, value in probabilities.items()})
                logprobs.append(top[-1][token])
                tokens.append(token)
        return Result(
            prompt_ids=list(prompt),
            ids=tokens[len(prompt) :],
            logprobs=logprobs,
            top=top,
            num_cached=num_cached,
            num_tokens=num_tokens,
            selected=selected,
            tokens_steered=steered,
            dose=changed / (steered * NUM_LAYERS) if steered else 0.0,
            rows=rows,
        )

    def _route(self, state: int, token: int, steering: Steering, *, leaks: bool) -> tuple[list[list[int]], int]:
        experts, num_changed = [], 0
        for layer in range(NUM_LAYERS):
            scores = {expert: _hash(state + leaks, token, f"{layer},{expert}") % 1000 for expert in range(NUM_EXPERTS)}
            plain = sorted(scores, key=lambda expert: -scores[expert])[:TOP_K]
            for edit in () if self.faults.ignores_edits else steering.edits:
                for expert in edit.experts if edit.layer == layer else ():
                    scores[expert] = {"ban": -1, "force": 9999}.get(edit.op, scores[expert])
            chosen = sorted(scores, key=lambda expert: -scores[expert])[:TOP_K]
            num_changed += set(chosen) != set(plain)
            experts.append([] if layer == self.faults.lost_hook else chosen)
        return experts, num_changed

    def _cached(self, tokens: list[int], salt: str, prompt_length: int) -> tuple[int, int]:
        # The last token is always computed.
        for end in range((len(tokens) - 1) // BLOCK * BLOCK, 0, -BLOCK):
            state = self.cache.get(self._key(tokens, end, salt, prompt_length))
            if state is not None:
                return end, state
        return 0, 1

    def _store(self, tokens: list[int], end: int, salt: str, prompt_length: int, state: int) -> None:
        if end % BLOCK == 0:
            self.cache[self._key(tokens, end, salt, prompt_length)] = state

    def _key(self, tokens: list[int], end: int, salt: str, prompt_length: int) -> Any:
        is_generated = end > prompt_length and not self.faults.shares_steered_answers_with_prompts
        return salt, tuple(tokens[:end]), prompt_length if is_generated else None


def tokenize(text: str) -> list[int]:
    return [_hash(0, 0, word) % VOCABULARY for word in text.replace(":", " :").split(" ")]


def _hash(state: int, token: int, text: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{state}.{token}.{text}".encode(), digest_size=6).digest(), "big")
