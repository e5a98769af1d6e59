"""Where the server is and what opens it; keys are sent, never shown."""

from dataclasses import dataclass, field

DEFAULT_URL = "http://127.0.0.1:8000"
DEFAULT_TIMEOUT_S = 600.0
ADMIN_HEADER = "X-Polyglyph-Admin-Key"


@dataclass(frozen=True)
class Keys:
    """The caller's key and the administrator's."""

    api: str | None = field(default=None, repr=False)
    admin: str | None = field(default=None, repr=False)

    @property
    def for_openai(self) -> str:
        """The key for the OpenAI client, which insists on one."""
        return self.api or "none"

    def headers(self, *, needs_admin: bool) -> dict[str, str]:
        """Give the headers of one call to the server's own routes."""
        admin = self.admin if needs_admin else None
        # vLLM's own authentication stands before the server's routes and takes either key.
        bearer = self.api or admin
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        return headers | ({ADMIN_HEADER: admin} if admin else {})
