"""What runs on devices reads nothing back and takes no tensor of the host's.

A CUDA graph can hold no read, and an engine's step must not wait for one; no GPU is needed to see that there is none:
`meta` has no values to read. It lets some indexes of the host's through, so each operation's tensors are looked at.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from polyglyph.contract.plan import PHASES
from polyglyph.kernels.annotate import TokenNotes
from polyglyph.kernels.choice import implementation
from polyglyph.kernels.label_scripts import LabelRows, LabelTable, seed
from polyglyph.kernels.steer_route import SelectionRule
from polyglyph.kernels.tally import Account, IntervalSums, Sums, TallyStep, TokenLog
from polyglyph.routing.edit_table import EditTable, compile_row
from polyglyph.routing.layers import RouteLog, ScoreLog, steering_of
from tests.support import script_tokens

META = torch.device("meta")
T, L, E, K, R = 40, 3, 16, 4, 2
RULES = {
    "softmax": SelectionRule("softmax", K),
    "sigmoid in groups": SelectionRule("sigmoid", K, bias_E=torch.zeros(E, device=META), num_groups=4, top_groups=2),
    "square root of softplus": SelectionRule("sqrtsoftplus", K, renormalize=False),
}


class DeviceOnly(TorchDispatchMode):
    """Refuses operations on tensors of the host's that are more than one number."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if any(tensor.device != META and tensor.dim() for tensor in tensors):
            raise RuntimeError(f"{func} takes a tensor of the host's")
        return func(*args, **kwargs)


@pytest.fixture
def device_only() -> Iterator[None]:
    with DeviceOnly():
        yield


def ints(*shape: int, dtype: torch.dtype = torch.int32) -> Tensor:
    return torch.zeros(shape, dtype=dtype, device=META)


@pytest.mark.parametrize("name", RULES)
def test_a_layer_is_steered_and_scored_without_the_host(name: str) -> None:
    rule, table = RULES[name], EditTable(L, 5, E, META)
    table.write(1, compile_row([], strength=1.0, num_layers=L, num_experts=E))
    log = RouteLog(ints(T, K), torch.zeros(T, K, device=META), ints(T, dtype=torch.bool))
    steering = steering_of(rule, slot_T=ints(T), edits=table.layer(0, E), log=log)
    logits, ids = torch.zeros(T, E, device=META), ints(T, K)
    with DeviceOnly():
        steering.steer(logits, torch.zeros(T, K, device=META), ids, logits)
        steering.log_selection(torch.zeros(T, K, device=META), ids)
        ScoreLog(L, T, E, K, META).write(0, logits, ids, rule)


@pytest.mark.usefixtures("device_only")
@pytest.mark.parametrize("num_tokens", [0, T])
@pytest.mark.parametrize("has_drafts", [False, True])
def test_a_step_is_added_up_without_the_host(num_tokens: int, has_drafts: bool) -> None:
    account = Account.allocate(5, device=META)
    account.open(1, group=0, summaries=range(len(PHASES)))
    account.open(2, group=1, summaries=None)
    sizes: dict[str, Any] = {"num_layers": L, "num_experts": E, "device": META}
    interval = IntervalSums(num_groups=3, num_scripts=4, num_rows=8, **sizes)
    summaries, counts_T = Sums(len(PHASES), L, E, META), ints(T, dtype=torch.bool)
    step = TallyStep(
        row_R=ints(R),
        query_start_R1=ints(R + 1),
        start_R=ints(R),
        num_tokens=num_tokens,
        num_valid_R=ints(R) if has_drafts else None,
    )
    log = TokenLog(
        notes=TokenNotes.allocate(T, device=META),
        script_T=ints(T, dtype=torch.uint8),
        ids_LTK=ints(L, T, K),
        weights_LTK=torch.zeros(L, T, K, device=META),
        changed_LT=ints(L, T, dtype=torch.bool),
    )
    tally = implementation("tally", META).tally
    books = {"account": account, "interval": interval, "summaries": summaries, "counts_T": counts_T}
    tally(step, log, **books, has_receipts=True)
    interval.clear(4)
    account.grown(9)


@pytest.mark.parametrize("num_tokens", [0, T])
@pytest.mark.parametrize("has_drafts", [False, True])
def test_tokens_are_labelled_without_the_host(num_tokens: int, has_drafts: bool) -> None:
    rows, table = LabelRows.allocate(4, device=META), on_meta(script_tokens.label_table())
    seed(rows, 1, 7)
    label = implementation("label_scripts", META).label_scripts
    step = {"row_R": ints(R), "query_start_R1": ints(R + 1), "num_valid_R": ints(R) if has_drafts else None}
    out_T = ints(T, dtype=torch.uint8)
    with DeviceOnly():
        label(**step, input_ids_T=ints(T), num_tokens=num_tokens, rows=rows, table=table, out_T=out_T)


FAULTS: dict[str, Callable[[], Any]] = {
    "a read": lambda: ints(T).sum().item(),
    "a tensor of the host's": lambda: ints(T) + torch.zeros(T, dtype=torch.int32),
    "an index of the host's": lambda: ints(T)[torch.zeros(T, dtype=torch.int64)],
    "a shape that depends on values": lambda: ints(T)[ints(T, dtype=torch.bool)],
}


@pytest.mark.usefixtures("device_only")
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_noticed(name: str) -> None:
    with pytest.raises((RuntimeError, NotImplementedError)):
        FAULTS[name]()


def on_meta(table: LabelTable) -> LabelTable:
    return replace(
        table, **{name: value.to(META) for name, value in vars(table).items() if isinstance(value, torch.Tensor)}
    )
