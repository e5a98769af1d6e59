"""The folder of `*.plan.json` files that 0.1.0 kept its registry in, and that an administrator may put plans into."""

import logging
from collections.abc import Iterator
from pathlib import Path

from polyglyph.contract.errors import RequestError
from polyglyph.contract.plan import Plan, load_plan

SUFFIX = ".plan.json"
ARCHIVE = "by-fingerprint"
logger = logging.getLogger(__name__)


class PlanFolder:
    """Reads the folder; nothing in it is changed.

    Args:
        path: Holds `NAME.plan.json`, and contents without a name in `by-fingerprint/`; may be missing.

    Attributes:
        unreadable: Files that hold no plan, with the reason.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.unreadable: dict[str, str] = {}

    def named(self) -> Iterator[tuple[Path, Plan]]:
        """Give each file that holds the plan it is named after; the others go to `unreadable`."""
        for path in sorted(self._path.glob(f"*{SUFFIX}")):
            try:
                plan = _read(path)
            except (RequestError, RecursionError) as error:
                self.leave_out(path, error)
            else:
                yield path, plan

    def archived(self) -> Iterator[Plan]:
        """Give the contents whose file is named after their fingerprint."""
        for path in sorted((self._path / ARCHIVE).glob(f"*{SUFFIX}")):
            try:
                plan = load_plan(path)
            except (RequestError, RecursionError) as error:
                logger.warning("Left out a kept plan: %s", error)
                continue
            if plan.fingerprint == "sha256:" + path.name.removesuffix(SUFFIX):
                yield plan

    def leave_out(self, path: Path, error: Exception) -> None:
        """Note why a file is left out, without the server's folders in the text."""
        self.unreadable[path.name] = str(error).replace(str(path), path.name)
        logger.warning("Left out a file of the plan registry: %s", error)


def _read(path: Path) -> Plan:
    plan = load_plan(path)
    if plan.name != path.name.removesuffix(SUFFIX):
        raise RequestError(f"{path}: holds the plan '{plan.name}'; a file is named after its plan")
    return plan
