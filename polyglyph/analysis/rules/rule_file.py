"""Rule files (`polyglyph.rules/1`): fitted rules as JSON, which a search writes and an evaluation loads."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from polyglyph.analysis.rules.away import AwayRule
from polyglyph.analysis.rules.entities import EntitiesRule
from polyglyph.analysis.rules.errors import RuleError
from polyglyph.analysis.rules.probe import ProbeRule
from polyglyph.analysis.rules.rule import Rule
from polyglyph.contract.base import Document, ScriptCode, as_request_error, read_json
from polyglyph.contract.errors import RequestError
from polyglyph.contract.guess import Guess
from polyglyph.contract.plan import Plan
from polyglyph.contract.probe_guess import ProbeGuess

FILE_NAME = "rules.json"
RuleName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]


class GuessingRule(Document):
    """A rule that guesses the source script, by what a server's policy guesses by too.

    Attributes:
        name: Of the rule.
        guess: The policy's own document.
        development: What it was worth on development items.
    """

    kind: Literal["guess"] = "guess"
    name: RuleName
    guess: Guess
    development: dict[str, Any] = Field(default_factory=dict)


class PlansRule(Document):
    """A rule that needs no guess.

    Attributes:
        name: Of the rule.
        plans: By query script.
        development: What it was worth on development items.
    """

    kind: Literal["plans"] = "plans"
    name: RuleName
    plans: dict[ScriptCode, Plan] = Field(min_length=1)
    development: dict[str, Any] = Field(default_factory=dict)


class RuleFile(Document):
    """Rules, `polyglyph.rules/1`.

    Attributes:
        benchmark: Whose development items they were fitted on.
        benchmark_sha256: Of that benchmark.
        rules: Names are unique.
    """

    schema_: Literal["polyglyph.rules/1"] = Field(default="polyglyph.rules/1", alias="schema")
    benchmark: str
    benchmark_sha256: str
    rules: Annotated[
        tuple[Annotated[GuessingRule | PlansRule, Field(discriminator="kind")], ...], Field(min_length=1, strict=False)
    ]

    def to_json(self) -> dict[str, Any]:
        """Give the document as plain JSON values, what is absent left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def fitted(self) -> tuple[Rule, ...]:
        """Give the rules, ready to guess."""
        return tuple(_fitted(rule) for rule in self.rules)


def load_rules(path: Path) -> tuple[Rule, ...]:
    """Read the rules of a file, ready to guess.

    Raises:
        RuleError: The file cannot be read, holds no rules, or two of one name; the text names it.
    """
    return read_rule_file(path).fitted()


def read_rule_file(path: Path) -> RuleFile:
    """Read a rule file; raises what `load_rules` raises."""
    try:
        file = RuleFile.model_validate(read_json(path, kind="rules"))
    except ValidationError as error:
        raise RuleError(str(as_request_error(error, root=path.name))) from error
    except RequestError as error:
        raise RuleError(str(error)) from error
    names = [rule.name for rule in file.rules]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RuleError(f"{path}: two rules are called {twice[0]!r}; names must be unique")
    return file


def _fitted(rule: GuessingRule | PlansRule) -> Rule:
    if isinstance(rule, PlansRule):
        return AwayRule(rule.plans, name=rule.name)
    if isinstance(rule.guess, ProbeGuess):
        return ProbeRule(rule.guess, name=rule.name)
    return EntitiesRule(rule.guess, name=rule.name)
