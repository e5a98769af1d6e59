"""What a character, or a range of characters, is to the labels: a script by its index, or one of the values below."""

NO_SCRIPT = 0
"""Digits, punctuation, whitespace, symbols, and all that is no character: `Zyyy`."""

MAX_SCRIPTS = 250
"""Indexes of scripts stay below this."""

NOTHING = 252
"""Of a token: it holds no complete character of its own."""

AMBIGUOUS = 253
"""Of a range of characters: it tells no script."""

LETTER = 254
"""A letter or mark shared by scripts (Common): it takes the script of the character before it, else of the next one."""

MARK = 255
"""An inherited character: it takes the script of the character before it."""
