"""Tally: once per step after sampling, add what the step's tokens selected to the stats, summaries and accounts."""

from torch import Tensor

from polyglyph.kernels.choice import implementation
from polyglyph.kernels.tally.account import NO_SUMMARY, Account
from polyglyph.kernels.tally.interval import IntervalSums
from polyglyph.kernels.tally.step import TallyStep, TokenLog
from polyglyph.kernels.tally.sums import Sums

__all__ = ["NO_SUMMARY", "Account", "IntervalSums", "Sums", "TallyStep", "TokenLog", "tally"]


def tally(
    step: TallyStep,
    log: TokenLog,
    *,
    account: Account,
    interval: IntervalSums | None,
    summaries: Sums | None,
    counts_T: Tensor,
    has_receipts: bool,
) -> None:
    """Count every token of the step that is new and stays, once, wherever it belongs.

    Args:
        step: What ran.
        log: What its tokens selected.
        account: Of the request rows: says where tokens belong, takes steered tokens and changed selections, and how far
            each request has been counted.
        interval: The stats' running sums; None where none are kept.
        summaries: The sums of requests that asked for a summary; None where nobody has.
        counts_T: bool; overwritten as far as `num_tokens`: the token was counted.
        has_receipts: Somebody will read the account of steered tokens; if not, it may be left alone.
    """
    implementation("tally", counts_T.device).tally(
        step, log, account=account, interval=interval, summaries=summaries, counts_T=counts_T, has_receipts=has_receipts
    )
