"""What can go wrong with the organism, in the user's words.

PolyglyphError
└── OrganismError
    ├── OutputError       a directory cannot be written or read as asked
    ├── CheckpointError   a checkpoint belongs to another run
    └── WorldError        a world cannot be made with these numbers
"""

from polyglyph.contract.errors import PolyglyphError


class OrganismError(PolyglyphError):
    """Base of every error a user of the organism can cause."""


class OutputError(OrganismError):
    """A directory cannot be written or read as asked."""


class CheckpointError(OrganismError):
    """A checkpoint belongs to another run."""


class WorldError(OrganismError):
    """A world cannot be made with these numbers."""
