"""Labels tokens of one vocabulary with their scripts: exactly on the host, and the table for the device.

Letters: T tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyglyph.kernels.label_scripts import LabelTable
from polyglyph.routing.scripts.causal import build_label_table
from polyglyph.routing.scripts.characters import Characters, characters
from polyglyph.routing.scripts.exact import label_tokens
from polyglyph.routing.scripts.vocabulary import Vocabulary

TokenIds = Sequence[int] | NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class ScriptLabeller:
    """Scripts of the tokens of one vocabulary.

    Labels are indexes into `scripts`, the same in every process that uses the same ICU.

    Attributes:
        vocabulary: Bytes of every token.
        characters: Class of every code point.
    """

    vocabulary: Vocabulary
    characters: Characters

    @classmethod
    def from_tokenizer(cls, tokenizer: Any) -> "ScriptLabeller":
        """Read a tokenizer's vocabulary: half a second for 150,000 tokens.

        Raises:
            TypeError: It is no tokenizer.
        """
        return cls(Vocabulary.from_tokenizer(tokenizer), characters())

    @property
    def scripts(self) -> tuple[str, ...]:
        """ISO 15924 codes by label: `Zyyy`, then every script that has characters, in alphabetical order."""
        return self.characters.scripts

    def exact(self, token_ids: TokenIds) -> NDArray[np.uint8]:
        """Label the tokens of one sequence from all of its bytes.

        Args:
            token_ids: Any integers; those outside the vocabulary have no script.

        Returns:
            uint8 [T].
        """
        ids_T = np.ascontiguousarray(token_ids, dtype=np.int64)
        out_T = np.empty(len(ids_T), dtype=np.uint8)
        words = self.vocabulary
        label_tokens(ids_T, words.data_B, words.offset_V1, words.is_text_V, self.characters.classes_C, out_T)
        return out_T

    def codes(self, labels: Sequence[int] | NDArray[np.uint8]) -> list[str]:
        """Give the ISO 15924 codes of labels."""
        return [self.scripts[label] for label in labels]

    def label_table(self) -> LabelTable:
        """Give the table with which the device labels tokens from what came before them, on the CPU."""
        return build_label_table(self.vocabulary, self.characters)
