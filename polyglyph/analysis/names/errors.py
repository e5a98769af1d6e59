"""What can go wrong with real names, in the user's words.

PolyglyphError
└── NamesError
    └── GazetteerError    the installed packages do not give the cities we need
"""

from polyglyph.contract.errors import PolyglyphError


class NamesError(PolyglyphError):
    """Base of every error a user of the real names can cause."""


class GazetteerError(NamesError):
    """The installed packages do not give the cities we need."""
