"""Permutation of markers within sequences, exactly: how often chance puts as many markers on an expert's tokens.

If the markers of a sequence are dealt anew to its tokens, the number that an expert's tokens get is hypergeometric, and
the sum over sequences has the convolution of these as its distribution. No permutation is drawn, so a p value can be
as small as correction over thousands of experts needs.

Letters of shapes: S sequences, X experts of all layers, J numbers of markers.
"""

import numpy as np
from numpy.typing import NDArray

SMALLEST_P = 1e-12
"""Rounding of the convolution (Fourier transforms in float64) hides what is smaller."""
_CHUNK = 2_000_000
"""Complex numbers held at a time: 32 MB."""

Integers = NDArray[np.int64]


def marker_permutation_p(
    tokens_S: Integers, markers_S: Integers, active_SX: Integers, *, observed_X: Integers, more: bool
) -> NDArray[np.float64]:
    """Give the chance of as many markers among an expert's tokens, markers being permuted within each sequence.

    Args:
        tokens_S: Tokens of each sequence.
        markers_S: Markers among them.
        active_SX: Tokens of each sequence that select each expert.
        observed_X: Markers among the tokens that select each expert, over all sequences.
        more: Whether the alternative is more markers than chance has; else fewer.

    Returns:
        One-sided p values, float64 [X], `SMALLEST_P` to 1; exact up to rounding.

    Raises:
        ValueError: A sequence has more markers, or an expert more tokens, than the sequence has tokens.
    """
    if (markers_S > tokens_S).any() or (active_SX > tokens_S[:, None]).any():
        raise ValueError("expected no more markers and no more selections than tokens in each sequence")
    # Sequences without a marker, or of nothing else, are the same however their markers are dealt.
    fixed_X = active_SX[markers_S == tokens_S].sum(axis=0)
    varies_S = (markers_S > 0) & (markers_S < tokens_S)
    tokens_S, markers_S, active_SX = tokens_S[varies_S], markers_S[varies_S], active_SX[varies_S]
    size = 1 << int(markers_S.sum()).bit_length()
    step = max(1, _CHUNK // size)
    chunks = [
        _tails(
            _distribution(tokens_S, markers_S, active_SX[:, start : start + step], size),
            (observed_X - fixed_X)[start : start + step],
            more=more,
        )
        for start in range(0, active_SX.shape[1], step)
    ]
    return np.clip(np.concatenate(chunks), SMALLEST_P, 1.0) if chunks else np.empty(0)


def _distribution(tokens_S: Integers, markers_S: Integers, active_SX: Integers, size: int) -> NDArray[np.float64]:
    """Give the chance of each number of markers, [X, J], by multiplying the sequences' Fourier transforms."""
    spectrum_XJ = np.ones((active_SX.shape[1], size // 2 + 1), dtype=np.complex128)
    for tokens, markers, active_X in zip(tokens_S, markers_S, active_SX, strict=True):
        kinds, index_X = np.unique(active_X, return_inverse=True)
        spectrum_XJ *= np.fft.rfft(_hypergeometric(int(tokens), int(markers), kinds), n=size, axis=1)[index_X]
    return np.fft.irfft(spectrum_XJ, n=size, axis=1)


def _hypergeometric(tokens: int, markers: int, active_U: Integers) -> NDArray[np.float64]:
    """Give the chance of each number of markers, 0 to all, among so many of a sequence's tokens."""
    from scipy.stats import hypergeom

    chance_UJ: NDArray[np.float64] = hypergeom.pmf(np.arange(markers + 1), tokens, markers, active_U[:, None])
    return chance_UJ


def _tails(chance_XJ: NDArray[np.float64], observed_X: Integers, *, more: bool) -> NDArray[np.float64]:
    number_J = np.arange(chance_XJ.shape[1])
    counts_XJ = number_J >= observed_X[:, None] if more else number_J <= observed_X[:, None]
    tail_X: NDArray[np.float64] = np.where(counts_XJ, chance_XJ, 0.0).sum(axis=1)
    return tail_X
