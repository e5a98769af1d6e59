"""One engine step as the books see it.

Letters: R requests, T tokens, L MoE layers, K selected experts.
"""

from dataclasses import dataclass

from torch import Tensor

from polyglyph.kernels.annotate import TokenNotes


@dataclass(eq=False, kw_only=True)
class TallyStep:
    """Which tokens are added up. All tensors are on one device.

    Attributes:
        row_R: int32 rows of the requests, each at most once.
        query_start_R1: int32; request r has the tokens from query_start_R1[r] to before query_start_R1[r + 1].
        start_R: int32 position of each request's first token.
        num_tokens: Tokens without padding.
        num_valid_R: int32, how many of each request's tokens stay: rejected drafts behind them do not count. None where
            all stay.
    """

    row_R: Tensor
    query_start_R1: Tensor
    start_R: Tensor
    num_tokens: int
    num_valid_R: Tensor | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class TokenLog:
    """What is known of a step's tokens after the forward pass: tensors that stay where they are from step to step.

    Attributes:
        notes: Row, position, phase and slot of each token.
        script_T: uint8 script index of each token; read where an interval is kept.
        ids_LTK: int32 selected experts; -1 past a layer's k.
        weights_LTK: float32 routing weights.
        changed_LT: bool, selections that steering changed.
    """

    notes: TokenNotes
    script_T: Tensor
    ids_LTK: Tensor
    weights_LTK: Tensor
    changed_LT: Tensor
