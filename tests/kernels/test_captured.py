"""On a GPU: what an engine captures into a CUDA graph does the same work at every replay, on whatever is there then."""

import random
from importlib import import_module

import pytest
import torch

from polyglyph.kernels.annotate import MarkerAutomaton, RequestRows, TokenNotes, annotate
from polyglyph.kernels.steer_route import LayerEdits, RouteLog, SelectionRule, reference
from polyglyph.kernels.steer_route.edits import BANNED, FORCED
from polyglyph.routing.host_copy import HostCopier

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
DEVICE = torch.device("cuda")
E, K, S, T = 128, 8, 5, 300
RULES = {
    "softmax": SelectionRule("softmax", K),
    "biased groups": SelectionRule("sigmoid", K, bias_E=torch.linspace(0, 1, E), num_groups=8, top_groups=4),
}


class Step:
    """One layer's tensors, which stay where they are from step to step."""

    def __init__(self) -> None:
        self.logits = torch.zeros(T, E, device=DEVICE)
        self.weights, self.ids = torch.zeros(T, K, device=DEVICE), torch.zeros(T, K, dtype=torch.int32, device=DEVICE)
        self.hidden = torch.zeros(T, 4, device=DEVICE)
        self.slots = torch.zeros(T, dtype=torch.int32, device=DEVICE)
        self.log = RouteLog(self.ids.clone(), self.weights.clone(), torch.zeros(T, dtype=torch.bool, device=DEVICE))
        floats, flags = torch.zeros(S, E, device=DEVICE), torch.zeros(S, dtype=torch.bool, device=DEVICE)
        self.edits = LayerEdits(
            floats, floats.clone(), floats.to(torch.uint8), floats + 1, flags, flags.clone(), flags.clone()
        )

    def draw(self, seed: int) -> None:
        """Write a new step and new edits into the same tensors."""
        generator = torch.Generator().manual_seed(seed)
        self.logits.copy_(torch.randn(T, E, generator=generator) * 2)
        self.weights.copy_(torch.rand(T, K, generator=generator))
        self.ids.copy_(torch.rand(T, E, generator=generator).topk(K).indices)
        self.slots.copy_(torch.randint(0, S, (T,), generator=generator))
        for tensor in (self.edits.add_SE, self.edits.std_SE):
            tensor[1:] = torch.randn(S - 1, E, generator=generator).to(DEVICE)
        self.edits.scale_SE[1:] = torch.rand(S - 1, E, generator=generator).to(DEVICE)
        banned, forced = torch.randperm(E, generator=generator)[:2].tolist()
        self.edits.flags_SE.zero_()
        self.edits.flags_SE[1:, banned], self.edits.flags_SE[1:, forced] = BANNED, FORCED
        for flag_S in (self.edits.edits_logits_S, self.edits.scales_S, self.edits.renormalize_S):
            flag_S[1:] = torch.rand(S - 1, generator=generator).to(DEVICE) < 0.7

    def outcome(self) -> list[torch.Tensor]:
        """Copy everything that the kernel may write."""
        return [tensor.clone() for tensor in (self.weights, self.ids, *vars(self.log).values())]


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("implementation", ["triton", "reference"])
def test_a_replay_steers_what_is_there_now(name: str, implementation: str) -> None:
    step, rule = Step(), RULES[name]
    bias_E = None if rule.bias_E is None else rule.bias_E.to(DEVICE)
    rule = SelectionRule(**{**vars(rule), "bias_E": bias_E})
    module = import_module(f"polyglyph.kernels.steer_route.{implementation}")
    steering, plain = (
        each.LayerSteering(slot_T=step.slots, edits=step.edits, rule=rule, log=step.log) for each in (module, reference)
    )
    inputs = (step.logits, step.weights, step.ids, step.hidden)
    graph = captured(lambda: steering.steer(*inputs), before=lambda: step.draw(0))
    for seed in range(1, 20):
        step.draw(seed)
        graph.replay()
        weights, ids, *log = step.outcome()
        step.draw(seed)
        plain.steer(*inputs)
        expected_weights, expected_ids, *expected_log = step.outcome()
        assert torch.equal(ids, expected_ids)
        torch.testing.assert_close(weights, expected_weights, rtol=2e-6, atol=1e-7)
        assert torch.equal(log[0], ids) and torch.equal(log[1], weights)
        assert torch.equal(log[2], expected_log[2])


def test_a_replay_annotates_what_is_there_now() -> None:
    automaton = MarkerAutomaton.build([[1]], [[2]]).to(DEVICE)
    rows = RequestRows.allocate(3, ring_width=5, device=DEVICE)
    out, expected = (TokenNotes.allocate(64, device=DEVICE) for _ in range(2))
    row, start = (torch.zeros(2, dtype=torch.int32, device=DEVICE) for _ in range(2))
    bounds = torch.tensor([0, 24, 48], dtype=torch.int32, device=DEVICE)
    ids = torch.zeros(64, dtype=torch.int32, device=DEVICE)
    step = {"row_R": row, "query_start_R1": bounds, "start_position_R": start, "input_ids_T": ids, "num_tokens": 48}
    bound = {**step, "rows": rows, "automaton": automaton}
    graph = captured(lambda: annotate(**bound, out=out))
    generator = random.Random(0)
    for _ in range(20):
        row.copy_(torch.tensor(generator.sample([1, 2], 2)))
        bounds[1] = generator.randrange(49)
        ids.copy_(torch.tensor([generator.randrange(4) for _ in range(64)]))
        rows.prompt_len_P[1:] = torch.tensor([generator.randrange(20) for _ in range(2)], device=DEVICE)
        rows.slots_P3[1:] = torch.randint(0, 9, (2, 3), device=DEVICE, dtype=torch.int32)
        graph.replay()
        import_module("polyglyph.kernels.annotate.reference").annotate(**bound, out=expected)
        for name, tensor in vars(out).items():
            assert torch.equal(tensor, getattr(expected, name)), name


def test_copies_on_their_own_stream_hold_what_was_launched_before_them() -> None:
    copier, source = HostCopier(DEVICE), torch.zeros(1 << 22, device=DEVICE)
    copies = []
    for value in range(20):
        # Long enough that a copy which does not wait would see the numbers of before.
        for _ in range(20):
            source.fill_(-1.0)
        source.fill_(float(value))
        copies.append(copier.start([source.clone()]))
    for value, copy in enumerate(copies):
        (array,) = copy.arrays()
        assert copy.is_ready() and (array == value).all()


def captured(work, before=lambda: None) -> torch.cuda.CUDAGraph:
    """Capture a piece of work, run twice before on a stream of its own as torch asks for."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):
            before()
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph
