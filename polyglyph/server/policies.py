"""The policy in force: which plan an `auto` request gets, kept across restarts."""

from pathlib import Path

from polyglyph.contract.errors import RequestError, StartupError
from polyglyph.contract.policy import Policy, load_policy
from polyglyph.server.files import write_document


class PolicyStore:
    """Holds the policy and keeps what is put in `policy.json` of the data directory.

    Args:
        kept: File that a policy put over HTTP is kept in.
        given: File named at start (`--policy`); it wins over the kept one.

    Raises:
        StartupError: The file cannot be read or is no policy.
    """

    def __init__(self, *, kept: Path, given: Path | None) -> None:
        self._kept = kept
        self.policy = self._read(given)

    def put(self, policy: Policy) -> None:
        """Put a policy in force.

        Raises:
            StorageError: The data directory cannot be written; the policy in force stays.
        """
        write_document(self._kept, policy.model_dump(mode="json", by_alias=True, exclude_none=True))
        self.policy = policy

    def _read(self, given: Path | None) -> Policy:
        path = given or self._kept
        if given is None and not path.is_file():
            return Policy()
        try:
            return load_policy(path)
        except (RequestError, RecursionError) as error:
            raise StartupError(f"--policy: {error}") from error
