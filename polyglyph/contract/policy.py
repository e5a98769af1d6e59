"""The policy: which plan an `auto` request gets, by request script."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from polyglyph.contract.base import Document, as_request_error, read_json
from polyglyph.contract.plan import PLAN_NAME_PATTERN, PhaseSet
from polyglyph.contract.steering import Strength

ScriptCode = Annotated[str, Field(pattern=r"^[A-Z][a-z]{3}$")]


class PolicyRule(Document):
    """What one request script gets."""

    plan: str = Field(pattern=PLAN_NAME_PATTERN)
    strength: Strength = 1.0
    phases: PhaseSet | None = None


class Policy(Document):
    """A policy document, `polyglyph.policy/1`; a script without a rule gets `otherwise`, or no steering."""

    schema_: Literal["polyglyph.policy/1"] = Field(default="polyglyph.policy/1", alias="schema")
    scripts: dict[ScriptCode, PolicyRule] = Field(default_factory=dict)
    otherwise: PolicyRule | None = None

    def rule_for(self, script: str) -> PolicyRule | None:
        """Give the rule of a request script, or None for no steering."""
        return self.scripts.get(script, self.otherwise)

    def rules(self) -> dict[str, PolicyRule]:
        """Give every rule by its field path."""
        named = {f"scripts.{script}": rule for script, rule in self.scripts.items()}
        return named | ({"otherwise": self.otherwise} if self.otherwise else {})


def parse_policy(document: Any, *, root: str = "policy") -> Policy:
    """Read a policy from JSON values.

    Raises:
        RequestError: `param` names the field path.
    """
    try:
        return Policy.model_validate(document)
    except ValidationError as error:
        raise as_request_error(error, root=root) from error


def load_policy(path: Path) -> Policy:
    """Read a policy file.

    Raises:
        RequestError: The file is no JSON or no policy; the text names the file.
    """
    return parse_policy(read_json(path, kind="policy"), root=path.name)
