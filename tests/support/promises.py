"""Promises 1 to 6 of a real engine, greedy and sampled, in mixed batches; each test file runs them under its settings.

The file that imports these tests gives the settings in a fixture `settings` of module scope.
"""

import os
import uuid
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polyglyph import bundled_plans
from polyglyph.contract.plan import PHASES, Edit, load_plan
from polyglyph.routing.offline import OfflineSteering
from polyglyph.routing.wire import Receipt
from tests.support.engine import EngineSettings, Reply, generate, make_prompts, plain_replies, sampling, start

LAYERS, EXPERTS, TOP_K = 6, 16, 2
KINDS = pytest.mark.parametrize("sampled", [False, True], ids=["greedy", "sampled"])

STEERINGS: dict[str, dict[str, Any]] = {
    "add": {"edits": [Edit(layer=0, experts=(1, 5), op="add", value=3.0)]},
    "add_std, weakly and in the prompt": {
        "edits": [Edit(layer=layer, experts=(2,), op="add_std", value=1.5) for layer in (0, 1)],
        "strength": 0.5,
        "phases": ["prompt"],
    },
    "force": {"edits": [Edit(layer=2, experts=(3, 4), op="force")]},
    "ban while reasoning": {"edits": [Edit(layer=4, experts=(0, 1, 2), op="ban")], "phases": ["reasoning"]},
    "scale": {"edits": [Edit(layer=3, experts=(0, 7), op="scale", value=8.0)]},
    "scale, renormalised, in the answer": {
        "edits": [Edit(layer=3, experts=(0, 7), op="scale", value=0.0, renormalize=True)],
        "phases": ["answer"],
    },
    "all at once": {
        "edits": [
            Edit(layer=1, experts=(0,), op="ban"),
            Edit(layer=1, experts=(9,), op="force"),
            Edit(layer=5, experts=(1, 2), op="add", value=-2.0),
            Edit(layer=5, experts=(3,), op="scale", value=4.0, renormalize=True),
        ],
        "strength": 2.0,
    },
    "all but the needed banned": {"edits": [Edit(layer=2, experts=tuple(range(2, 16)), op="ban")]},
}
NEUTRAL: dict[str, dict[str, Any]] = {
    "strength 0": {**STEERINGS["all at once"], "strength": 0.0},
    "an empty plan": {"edits": []},
}


class Engine:
    """A running engine and what plain vLLM answered to the same requests."""

    def __init__(self, settings: EngineSettings, folder: Path) -> None:
        self.plain = plain_replies(settings, folder=folder)
        self.llm = start(settings)
        self.prompts = make_prompts()
        self.steering = OfflineSteering(self.llm)
        self._keys = count()

    def forget(self) -> None:
        """Empty the prefix cache, so that every batch has the same shapes."""
        assert self.llm.reset_prefix_cache()

    def send(
        self, steerings: Sequence[dict[str, Any] | None], *, sampled: bool = False, cold: bool = True
    ) -> list[Reply]:
        """Send all prompts in one batch, each with its own steering."""
        if cold:
            self.forget()
        params = [
            sampling(sampled=sampled, index=i, extra_args=None if how is None else self.steering.extra_args(**how))
            for i, how in enumerate(steerings)
        ]
        return generate(self.llm, self.prompts, params)

    def account(self, steering: dict[str, Any], *, prompt: int = 0) -> Receipt:
        """Send one prompt and give its receipt with the summary."""
        self.forget()
        key = uuid.uuid4().hex
        extra_args = self.steering.extra_args(**steering, key=key, wants_summary=True)
        generate(self.llm, [self.prompts[prompt]], [sampling(extra_args=extra_args)])
        receipt = self.steering.take_receipt(key)
        assert receipt is not None and receipt.selected is not None and receipt.num_tokens is not None
        return receipt

    @cached_property
    def unsteered(self) -> dict[bool, list[Reply]]:
        """What the batch answers with nobody steered."""
        return {sampled: self.send([None] * len(self.prompts), sampled=sampled) for sampled in (False, True)}


@pytest.fixture(scope="module")
def engine(settings: EngineSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    # The broken slot buffer below is a function sent to the worker; vLLM pickles it, which it must be allowed to.
    os.environ["VLLM_ALLOW_INSECURE_SERIALIZATION"] = "1"
    engine = Engine(settings, tmp_path_factory.mktemp("plain"))
    yield engine
    engine.llm.llm_engine.engine_core.shutdown()


def contents(replies: Sequence[Reply]) -> list[Any]:
    return [reply.content for reply in replies]


def mixed(steerings: Sequence[dict[str, Any]], num: int = 16) -> list[dict[str, Any] | None]:
    """Give a batch in which every other request is steered, each in another way."""
    return [None if index % 2 == 0 else steerings[(index // 2) % len(steerings)] for index in range(num)]


def test_the_loaded_model_is_the_one_that_the_bundled_plans_were_made_for(engine: Engine) -> None:
    for path in bundled_plans().glob("*.plan.json"):
        assert load_plan(path).model == engine.steering.model.binding


@KINDS
def test_idle_equals_plain_vllm_bit_for_bit(engine: Engine, sampled: bool) -> None:
    kind = "sampled" if sampled else "greedy"
    assert contents(engine.unsteered[sampled]) == contents(engine.plain[kind])


@KINDS
def test_unsteered_requests_do_not_feel_steered_neighbours(engine: Engine, sampled: bool) -> None:
    replies = engine.send(mixed(list(STEERINGS.values())), sampled=sampled)
    assert contents(replies[::2]) == contents(engine.unsteered[sampled][::2])


@KINDS
def test_every_steering_of_the_mixed_batch_is_felt(engine: Engine, sampled: bool) -> None:
    replies = engine.send(mixed(list(STEERINGS.values())), sampled=sampled)
    pairs = zip(replies, engine.unsteered[sampled], strict=True)
    felt = [mine.content != plain.content for mine, plain in pairs]
    assert felt[1::2] == [True] * 8


def test_a_slot_buffer_off_by_one_token_is_noticed(engine: Engine) -> None:
    engine.llm.collective_rpc(_roll_slots)
    try:
        replies = engine.send(mixed(list(STEERINGS.values())))
    finally:
        engine.llm.collective_rpc(_unroll_slots)
    touched = [mine.content != plain.content for mine, plain in zip(replies, engine.unsteered[False], strict=True)]
    assert any(touched[::2])
    assert contents(engine.send([None] * 16)) == contents(engine.unsteered[False])


def _roll_slots(worker: Any) -> None:
    tracker = worker.model_runner._polyglyph_tracker
    original = tracker.begin_step

    def rolled(*args: Any, **kwargs: Any) -> None:
        original(*args, **kwargs)
        slots = tracker.layers.notes.slot_T
        slots.copy_(slots.roll(1))

    tracker.begin_step = rolled


def _unroll_slots(worker: Any) -> None:
    del worker.model_runner._polyglyph_tracker.begin_step


@pytest.mark.parametrize("phases", [["prompt"], ["reasoning"], ["answer"], ["prompt", "answer"], list(PHASES)], ids=str)
def test_a_banned_expert_is_selected_in_no_token_of_the_phases(engine: Engine, phases: list[str]) -> None:
    banned = (0, 3, 5, 8, 11)
    receipt = engine.account({"edits": [Edit(layer=4, experts=banned, op="ban")], "phases": phases})
    assert receipt.selected is not None and receipt.num_tokens is not None
    selected = receipt.selected[:, 4, list(banned)].sum(axis=1)
    for index, phase in enumerate(PHASES):
        if phase in phases:
            assert selected[index] == 0
    assert receipt.num_tokens[1] > 0, "the prompt was chosen to make the organism reason"
    assert receipt.tokens_steered == sum(int(receipt.num_tokens[PHASES.index(phase)]) for phase in phases)


@pytest.mark.parametrize("phases", [["prompt"], ["reasoning"], ["answer"], list(PHASES)], ids=str)
def test_a_forced_expert_is_selected_in_every_token_of_the_phases(engine: Engine, phases: list[str]) -> None:
    receipt = engine.account({"edits": [Edit(layer=2, experts=(6, 13), op="force")], "phases": phases})
    assert receipt.selected is not None and receipt.num_tokens is not None
    for index, phase in enumerate(PHASES):
        if phase in phases:
            assert (receipt.selected[index, 2, [6, 13]] == receipt.num_tokens[index]).all()
    unforced = engine.account({"edits": []}).selected
    assert unforced is not None and (unforced[:, 2, [6, 13]].sum() < receipt.selected[:, 2, [6, 13]].sum())


@KINDS
@pytest.mark.parametrize("name", list(NEUTRAL))
def test_neutral_steering_is_no_steering_bit_for_bit(engine: Engine, sampled: bool, name: str) -> None:
    replies = engine.send([NEUTRAL[name]] * 16, sampled=sampled)
    assert contents(replies) == contents(engine.unsteered[sampled])


def test_dose_counts_the_selections_that_steering_changed(engine: Engine) -> None:
    banned = tuple(range(8))
    receipt = engine.account({"edits": [Edit(layer=0, experts=banned, op="ban")]})
    plain = engine.account({"edits": []})
    assert receipt.tokens_steered == len(engine.prompts[0]) + 23
    # One layer is edited; in it each token changes whose selection held a banned expert, which is nearly all.
    assert 0.5 / LAYERS < receipt.dose <= 1 / LAYERS
    assert (plain.tokens_steered, plain.dose) == (0, 0.0)


def test_steered_keys_and_values_serve_only_their_equals(engine: Engine) -> None:
    long = [index for index in range(16) if len(engine.prompts[index]) > 33]
    prompt = engine.prompts[long[0]]
    how = {"edits": [Edit(layer=1, experts=(1, 2), op="force")]}
    other = {**how, "strength": 0.5}
    elsewhere = {**how, "phases": ["prompt"]}

    def ask(steering: dict[str, Any] | None) -> Reply:
        extra_args = None if steering is None else engine.steering.extra_args(**steering)
        return generate(engine.llm, [prompt], [sampling(extra_args=extra_args)])[0]

    def ask_cold(steering: dict[str, Any] | None) -> Reply:
        engine.forget()
        return ask(steering)

    cold = [ask_cold(steering) for steering in (None, how, other, elsewhere)]
    engine.forget()
    warm = [ask(steering) for steering in (None, how, other, elsewhere)]
    again = [ask(steering) for steering in (None, how, other, elsewhere)]
    assert [reply.num_cached for reply in warm] == [0, 0, 0, 0]
    assert [reply.num_cached for reply in again] == [(len(prompt) - 1) // 32 * 32] * 4
    assert contents(warm) == contents(cold)
    # A cached prompt is computed in another batch shape, which vLLM itself does not keep bit-equal: tokens only.
    assert [reply.token_ids for reply in again] == [reply.token_ids for reply in cold]


def test_a_second_turn_does_not_take_the_firsts_generated_blocks_for_prompt(engine: Engine) -> None:
    steering = {"edits": [Edit(layer=1, experts=(1, 2), op="force")], "phases": ["reasoning", "answer"]}
    prompt = engine.prompts[4]

    def ask(ids: Sequence[int]) -> Reply:
        return generate(engine.llm, [ids], [sampling(extra_args=engine.steering.extra_args(**steering))])[0]

    engine.forget()
    first = ask(prompt)
    second_prompt = [*prompt, *first.token_ids, *engine.prompts[0]]
    warm = ask(second_prompt)
    engine.forget()
    cold = ask(second_prompt)
    assert len(prompt) + len(first.token_ids) > 32 * (len(prompt) // 32 + 1), "the first turn fills a mixed block"
    assert warm.num_cached == len(prompt) // 32 * 32
    assert warm.token_ids == cold.token_ids
    _assert_close(warm, cold)


def _assert_close(warm: Reply, cold: Reply) -> None:
    """A cached prompt is computed in another batch shape; bfloat16 rounding is far below what other keys would do."""
    for mine, theirs in zip(warm.logprobs, cold.logprobs, strict=True):
        shared = dict(mine).keys() & dict(theirs).keys()
        assert max(abs(dict(mine)[token] - dict(theirs)[token]) for token in shared) < 0.05


@pytest.mark.parametrize("wants_summary", [False, True])
def test_sums_hold_every_computed_token_once(engine: Engine, wants_summary: bool) -> None:
    engine.steering.reset_stats()
    engine.send([{**how, "wants_summary": wants_summary} if how else None for how in mixed(list(STEERINGS.values()))])
    tokens = sum(len(prompt) + 23 for prompt in engine.prompts)
    per_layer = engine.steering.read_selected().sum(axis=1)
    assert np.array_equal(per_layer, np.full(LAYERS, tokens * TOP_K))


def test_choices_of_one_request_share_a_receipt(engine: Engine) -> None:
    from vllm import SamplingParams

    engine.forget()
    key = uuid.uuid4().hex
    extra_args = engine.steering.extra_args(
        [Edit(layer=0, experts=(0,), op="ban")], key=key, phases=["answer"], wants_summary=True
    )
    params = SamplingParams(n=4, temperature=1.0, seed=5, max_tokens=9, ignore_eos=True, extra_args=extra_args)
    engine.llm.generate([{"prompt_token_ids": engine.prompts[1]}], [params], use_tqdm=False)
    receipt = engine.steering.take_receipt(key)
    assert receipt is not None and receipt.num_tokens is not None and receipt.selected is not None
    assert receipt.num_tokens[1] + receipt.num_tokens[2] == 4 * 8
    assert receipt.selected[2, 0, 0] == 0
    assert engine.steering.take_receipt(key) is None


def test_a_payload_made_by_hand_is_checked_before_it_is_scheduled(engine: Engine) -> None:
    from polyglyph.contract.errors import ImpossibleEditError, RequestError
    from polyglyph.contract.steering import PAYLOAD_KEY, SteeringPayload

    payload = SteeringPayload(key="0" * 32, edits=(Edit(layer=99, experts=(0,), op="ban"),))
    for value, error in ((payload.model_dump_json(), ImpossibleEditError), ('{"edits": 3}', RequestError)):
        with pytest.raises(error):
            generate(engine.llm, [engine.prompts[0]], [sampling(extra_args={PAYLOAD_KEY: value})])
    assert generate(engine.llm, [engine.prompts[0]], [sampling()])[0].token_ids
