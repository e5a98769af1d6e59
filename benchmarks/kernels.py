"""Each operation's implementations side by side, and against vLLM's own selection: interleaved, medians and spread."""

import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._inductor.exc import InductorError

from benchmarks.environment import describe, environment_record, quartiles
from polyglyph.kernels.annotate import TokenNotes
from polyglyph.kernels.choice import chosen, load
from polyglyph.kernels.steer_route import LayerEdits, LayerSteering, RouteLog, SelectionRule
from polyglyph.kernels.steer_route.edits import BANNED
from polyglyph.kernels.tally import Account, IntervalSums, TallyStep, TokenLog

NUM_SLOTS = 65
ROUNDS = 15
CALLS_SECONDS = 0.01
"""A measurement calls often enough to last this long."""
Arms = dict[str, Callable[[], Any]]


@dataclass(frozen=True)
class Shape:
    """One layer of a model in one step.

    Attributes:
        model: Whose routers look like this.
        rule: How it selects.
        num_experts: E.
        num_tokens: T.
    """

    model: str
    rule: SelectionRule
    num_experts: int
    num_tokens: int


@dataclass(frozen=True)
class Size:
    """A step whose tokens are added up: requests, tokens of each, and the sizes of the model."""

    num_requests: int
    length: int
    num_layers: int
    num_experts: int
    top_k: int

    @property
    def label(self) -> str:
        """How the record names it."""
        model = f"{self.num_layers} layers, E {self.num_experts}, k {self.top_k}"
        return f"{model}, {self.num_requests} requests x {self.length} tokens"


SIZES = (
    Size(1, 1, 6, 8, 2),
    Size(64, 1, 6, 8, 2),
    Size(4, 512, 6, 8, 2),
    Size(64, 1, 48, 128, 8),
    Size(4, 512, 48, 128, 8),
)


@dataclass(frozen=True)
class Timing:
    """One arm on one shape: microseconds a call, and the ratio to the first arm in the same round."""

    operation: str
    shape: str
    arm: str
    us: float
    ratio: float
    ratio_low: float
    ratio_high: float


def shapes(device: torch.device) -> Iterator[Shape]:
    """Give the shapes: three models' routers, from one token to a long prefill."""
    bias_E = torch.rand(256, generator=torch.Generator().manual_seed(3)).to(device)
    models = (
        ("organism", SelectionRule("softmax", 2), 8),
        ("Qwen3-30B-A3B", SelectionRule("softmax", 8), 128),
        ("DeepSeek-V3", SelectionRule("sigmoid", 8, scaling=2.5, bias_E=bias_E, num_groups=8, top_groups=4), 256),
    )
    for name, rule, num_experts in models:
        for num_tokens in (1, 8, 64, 512, 4096, *((16384,) if device.type == "cuda" else ())):
            yield Shape(name, rule, num_experts, num_tokens)


def run() -> dict[str, Any]:
    """Time every operation on every shape; what disagrees with plain torch is not timed.

    Returns:
        The record: timings, versions and hardware.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    timings: list[Timing] = []
    for shape in shapes(device):
        label = f"{shape.model}, E {shape.num_experts}, k {shape.rule.top_k}, T {shape.num_tokens}"
        for share in (0.0, 0.5, 1.0):
            arms = steer_route_arms(shape, share_steered=share, device=device)
            timings += measure("steer_route", f"{label}, {share:.0%} steered", arms, device)
        print(f"kernels: {label}", file=sys.stderr, flush=True)
    for size in SIZES:
        timings += measure("tally", size.label, tally_arms(size, device), device)
    return {
        "benchmark": "kernels",
        "device": str(device),
        "timings": [vars(timing) for timing in timings],
        **environment_record(),
    }


def steer_route_arms(shape: Shape, *, share_steered: float, device: torch.device) -> Arms:
    """Make the arms of one layer; the first one, vLLM's selection alone, is what the others are compared with."""
    generator = torch.Generator().manual_seed(0)
    num_tokens, num_experts = shape.num_tokens, shape.num_experts
    logits = torch.randn(num_tokens, num_experts, generator=generator).to(device)
    hidden = torch.zeros(num_tokens, 16, device=device)
    select = vllm_selection(shape, device)
    weights, ids = select(hidden, logits)
    slots = torch.randint(1, NUM_SLOTS, (num_tokens,), generator=generator, dtype=torch.int32)
    slots[torch.rand(num_tokens, generator=generator) >= share_steered] = 0
    bound = {
        "slot_T": slots.to(device),
        "edits": random_edits(num_experts, generator, device),
        "rule": shape.rule,
        "log": empty_log(num_tokens, shape.rule.top_k, device),
    }
    name = chosen("steer_route", device)
    ours, reference = (load("steer_route", which).LayerSteering(**bound) for which in (name, "reference"))
    check(*(_steered(steering, logits, weights, ids, hidden) for steering in (ours, reference)))
    compiled = torch.compile(reference.steer, dynamic=False)
    # From the second call on a row is steered once more: the same work, on other numbers.
    arms: Arms = {
        "vLLM's selection": lambda: select(hidden, logits),
        f"steer_route, {name}": lambda: ours.steer(logits, weights, ids, hidden),
        "torch, eager": lambda: reference.steer(logits, weights, ids, hidden),
    }
    try:
        compiled(logits, weights, ids, hidden)
    except InductorError as error:
        print(f"torch.compile fails on this shape: {error}".splitlines()[0], file=sys.stderr, flush=True)
    else:
        arms["torch.compile"] = lambda: compiled(logits, weights, ids, hidden)
    return arms


def _steered(steering: LayerSteering, *inputs: Tensor) -> tuple[Tensor, Tensor]:
    logits, weights, ids, hidden = (tensor.clone() for tensor in inputs)
    steering.steer(logits, weights, ids, hidden)
    return weights, ids


def tally_arms(size: Size, device: torch.device) -> Arms:
    """Make the arms of the end of a step that keeps stats and in which nobody asks for a summary."""
    generator = torch.Generator().manual_seed(0)
    num_tokens, num_rows = size.num_requests * size.length, size.num_requests + 1
    rows = torch.arange(1, num_rows, dtype=torch.int32)
    starts = torch.arange(0, num_tokens + 1, size.length, dtype=torch.int32)
    positions = torch.arange(num_tokens, dtype=torch.int32) % size.length
    nothing = torch.zeros(num_tokens, dtype=torch.int32)
    notes = (rows.repeat_interleave(size.length), positions, nothing, nothing)
    log = (size.num_layers, num_tokens, size.top_k)
    step = TallyStep(
        row_R=rows.to(device),
        query_start_R1=starts.to(device),
        start_R=nothing[: size.num_requests].to(device),
        num_tokens=num_tokens,
    )
    tokens = TokenLog(
        notes=TokenNotes(*(note.to(device) for note in notes)),
        script_T=torch.randint(0, 8, (num_tokens,), generator=generator, dtype=torch.uint8).to(device),
        ids_LTK=torch.randint(0, size.num_experts, log, generator=generator, dtype=torch.int32).to(device),
        weights_LTK=torch.rand(log, generator=generator).to(device),
        changed_LT=torch.zeros(log[:2], dtype=torch.bool, device=device),
    )
    sizes = {"num_layers": size.num_layers, "num_experts": size.num_experts, "device": device}
    interval = IntervalSums(num_groups=8, num_scripts=8, num_rows=64, **sizes)
    account = Account.allocate(num_rows, device=device)
    counts_T = torch.zeros(num_tokens, dtype=torch.bool, device=device)

    def arm(name: str) -> Callable[[], None]:
        tally = load("tally", name).tally

        def add() -> None:
            account.high_water_P.zero_()
            tally(
                step, tokens, account=account, interval=interval, summaries=None, counts_T=counts_T, has_receipts=False
            )

        return add

    names = dict.fromkeys((chosen("tally", device), "reference"))
    return {f"tally, {name}": arm(name) for name in names}


def vllm_selection(shape: Shape, device: torch.device) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Give vLLM's own router of this shape."""
    rule = shape.rule
    grouped: dict[str, Any] = {}
    if rule.bias_E is not None:
        grouped = {
            "use_grouped_topk": True,
            "num_expert_group": rule.num_groups,
            "topk_group": rule.top_groups,
            "scoring_func": rule.scoring,
            "e_score_correction_bias": rule.bias_E,
            "routed_scaling_factor": rule.scaling,
        }
    if device.type == "cpu":
        from vllm.model_executor.layers.fused_moe.router.cpu_router import CPURouter

        router: Any = CPURouter(top_k=rule.top_k, global_num_experts=shape.num_experts, renormalize=True, **grouped)
    elif grouped:
        from vllm.model_executor.layers.fused_moe.router.grouped_topk_router import GroupedTopKRouter

        grouped.pop("use_grouped_topk")
        router = GroupedTopKRouter(top_k=rule.top_k, global_num_experts=shape.num_experts, **grouped)
    else:
        from vllm.model_executor.layers.fused_moe.router.fused_topk_router import FusedTopKRouter

        router = FusedTopKRouter(top_k=rule.top_k, global_num_experts=shape.num_experts, renormalize=True)

    def select(hidden: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        weights, ids = router._compute_routing(hidden, logits, torch.int32)  # noqa: SLF001 - the seam that is hooked
        return weights, ids

    return select


def random_edits(num_experts: int, generator: torch.Generator, device: torch.device) -> LayerEdits:
    """Give every slot but the unsteered one a push on each expert and a ban."""
    shape = (NUM_SLOTS, num_experts)
    add, std = (torch.randn(shape, generator=generator) for _ in range(2))
    flags = torch.zeros(shape, dtype=torch.uint8)
    flags[1:, 1] = BANNED
    edits_logits = torch.arange(NUM_SLOTS) > 0
    scales = torch.zeros(NUM_SLOTS, dtype=torch.bool)
    tensors = (add, std, flags, torch.ones(shape), edits_logits, scales, scales)
    return LayerEdits(*(tensor.to(device) for tensor in tensors))


def empty_log(num_tokens: int, top_k: int, device: torch.device) -> RouteLog:
    """Give a log for one layer."""
    ids = torch.full((num_tokens, top_k), -1, dtype=torch.int32, device=device)
    return RouteLog(ids, torch.zeros_like(ids, dtype=torch.float32), torch.zeros_like(ids[:, 0], dtype=torch.bool))


def check(ours: tuple[Tensor, Tensor], theirs: tuple[Tensor, Tensor]) -> None:
    """Compare two selections as sets, with their weights.

    Raises:
        AssertionError: They differ.
    """
    (weights, ids), (expected_weights, expected_ids) = ours, theirs
    order, expected_order = ids.argsort(dim=1), expected_ids.argsort(dim=1)
    assert torch.equal(ids.gather(1, order), expected_ids.gather(1, expected_order)), "other experts than plain torch's"
    found, expected = weights.gather(1, order), expected_weights.gather(1, expected_order)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def measure(operation: str, shape: str, arms: Arms, device: torch.device) -> list[Timing]:
    """Time the arms in turn, in a new order each round.

    Args:
        operation: For the record.
        shape: For the record.
        arms: The first one is what the others are compared with.
        device: What to wait for.
    """
    calls = {name: _calls_needed(call, device) for name, call in arms.items()}
    order, samples = random.Random(0), {name: list[float]() for name in arms}
    for _ in range(ROUNDS):
        for name in order.sample(list(arms), len(arms)):
            samples[name].append(_seconds(arms[name], calls[name], device) / calls[name] * 1e6)
    first = samples[next(iter(arms))]
    timings = []
    for name, values in samples.items():
        low, middle, high = quartiles([mine / base for mine, base in zip(values, first, strict=True)])
        timings.append(Timing(operation, shape, name, statistics.median(values), middle, low, high))
    return timings


def to_markdown(record: dict[str, Any]) -> str:
    """Write the record as a table."""
    lines = [
        "## Kernels",
        "",
        f"One layer, one step, on {record['device']}; {ROUNDS} rounds, arms shuffled in each. {describe(record)}",
        "",
        "Where there is no row for torch.compile, it ended in an error of its own.",
        "",
        "| operation | shape | arm | us a call, median | ratio to the first, median [quartiles] |",
        "|---|---|---|---|---|",
    ]
    for row in record["timings"]:
        spread = f"{row['ratio']:.2f} [{row['ratio_low']:.2f}, {row['ratio_high']:.2f}]"
        lines.append(f"| {row['operation']} | {row['shape']} | {row['arm']} | {row['us']:.1f} | {spread} |")
    return "\n".join([*lines, ""])


def _calls_needed(call: Callable[[], Any], device: torch.device) -> int:
    for _ in range(3):
        _seconds(call, 1, device)
    return max(1, int(CALLS_SECONDS / max(_seconds(call, 3, device) / 3, 1e-6)))


def _seconds(call: Callable[[], Any], num_calls: int, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    for _ in range(num_calls):
        call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started
