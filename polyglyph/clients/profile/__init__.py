"""Drives a corpus through a server, so that its routing is in the server's sums, and reports on it."""

from polyglyph.clients.profile.report import Ending, ProfileReport
from polyglyph.clients.profile.run import ProfileFailedError, profile
from polyglyph.clients.profile.stop import Stop
from polyglyph.clients.profile.text_file import Split

__all__ = ["Ending", "ProfileFailedError", "ProfileReport", "Split", "Stop", "profile"]
