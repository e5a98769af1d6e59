"""The vocabulary as the device sees it: of each token what its own bytes say, and of each character its class.

Shapes: V tokens of the vocabulary, S scripts, B ranges of characters.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

BREAK = 1
"""Flag: no text. Template tokens, holes of the vocabulary and tokens without bytes part what stands around them."""
ATTACHES = 2
"""Flag: takes the script of the character before it, where that has one; else the label of the table."""
OUTVOTES = 4
"""Flag: the label of the table has two characters or more, against one that the token only completes."""

HEAD_BITS = 6
"""A head holds its first three bytes' lower six bits, the first byte lowest, and above them their number."""
HEAD_LEN_SHIFT = 3 * HEAD_BITS
MAX_HEAD_LEN = 4
"""At least one byte more than any character can use."""

FIRST_REGION = 0x110000 // 64
"""Index of the first range of 4096 code points, behind those of 64."""
NO_RANGE = FIRST_REGION + 0x110000 // 4096
"""Index of the range of all that is longer."""
NUM_RANGES = NO_RANGE + 1


@dataclass(frozen=True, eq=False)
class LabelTable:
    """Tensors over the vocabulary and over Unicode; the last row of the former stands for ids outside the vocabulary.

    A token's bytes are read as head (continuation bytes), body (complete characters and invalid bytes) and tail (the
    beginning of a character). What depends on the characters before the token is read as if these had no script.

    Attributes:
        scripts: ISO 15924 codes by label; label 0 is `Zyyy`.
        label_V: uint8 [V + 1], script of most scripted characters of the body.
        end_V: uint8 [V + 1], script of the body's last character; `MARK` when the whole body attaches, `NOTHING`
            without a body.
        scripted_V: uint8 [V + 1], script of the body's last character that has one, 0 for none.
        flags_V: uint8 [V + 1], `BREAK`, `ATTACHES`, `OUTVOTES`.
        head_V: int32 [V + 1], up to three continuation bytes, and their number, at most `MAX_HEAD_LEN`.
        tail_V: int32 [V + 1], the unfinished character (see `rows`), 0 for none.
        characters: uint8 [0x110000], class of each code point (see `classes`).
        ranges_B: uint8 [NUM_RANGES], class that most assigned characters of a range have: what an unfinished character
            is taken for. The ranges are those of 64 code points, of 4096, and one for whatever is longer.
        is_home_SB: bool [S, NUM_RANGES], whether a request whose last script this is stays in it there.
    """

    scripts: tuple[str, ...]
    label_V: Tensor
    end_V: Tensor
    scripted_V: Tensor
    flags_V: Tensor
    head_V: Tensor
    tail_V: Tensor
    characters: Tensor
    ranges_B: Tensor
    is_home_SB: Tensor

    @property
    def num_scripts(self) -> int:
        """Number of labels, `Zyyy` included."""
        return len(self.scripts)

    @property
    def num_tokens(self) -> int:
        """Tokens of the vocabulary, V; ids from there on, and negative ones, have no script."""
        return len(self.label_V) - 1

    def to(self, device: torch.device | str) -> "LabelTable":
        """Give the table with its tensors on a device."""
        moved = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return LabelTable(scripts=self.scripts, **moved)
