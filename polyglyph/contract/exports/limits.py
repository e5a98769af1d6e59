"""How much is read into memory at most."""

from polyglyph.contract.errors import InvalidStatsError

MAX_CELLS = 1 << 28
"""Groups x layers x experts that are read, unless told otherwise; 16 bytes each, 4 GiB together."""
BYTES_PER_CELL = 32
"""What a cell takes at most in JSON: two numbers of 8 bytes, in base64, and a share of the rest."""


def check_size(num_cells: int, *, max_cells: int) -> None:
    """Refuse more than fits, before memory is taken for it.

    Raises:
        InvalidStatsError: Both numbers are in the text.
    """
    if num_cells > max_cells:
        raise InvalidStatsError(
            f"expected at most {max_cells} sums (groups x layers x experts), got {num_cells}; "
            "sum columns away or split by filter"
        )
