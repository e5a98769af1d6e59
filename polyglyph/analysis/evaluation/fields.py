"""The `steering` fields that arms carry, and what a server must say of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from polyglyph.analysis.evaluation.errors import ArmError
from polyglyph.clients.answers import LoadedModel
from polyglyph.contract.edits import check_binding, check_edits
from polyglyph.contract.model import ModelDescription
from polyglyph.contract.plan import PHASES, Plan, parse_plan

Field = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Steerable:
    """What a server can be steered by.

    Attributes:
        model: The loaded model.
        registered: Names of the server's plans by fingerprint.
    """

    model: LoadedModel
    registered: Mapping[str, str] = field(default_factory=dict)

    def field_of(self, plan: Plan, *, strength: float = 1.0) -> Field:
        """Give the field that steers by a plan: by its name where the server holds it, otherwise by its edits.

        Raises:
            ArmError: The model cannot be steered by these edits at this strength, or the server takes no edits.
            PlanMismatchError: The plan was made for another model.
        """
        check_binding(plan, self.model.binding, param=f"plan {plan.name!r}")
        description = ModelDescription(binding=self.model.binding, routers=self.model.routers)
        check_edits(plan.edits, description, strength=strength, param=f"plan {plan.name!r}: edits")
        if plan.fingerprint in self.registered:
            return {"plan": self.registered[plan.fingerprint], "strength": strength}
        if not self.model.settings.inline_edits:
            raise ArmError(
                f"plan {plan.name!r} is not registered on the server, which takes no inline edits; register it with "
                "'polyglyph plans push', or start the server without --no-inline-edits"
            )
        edits = [edit.model_dump(mode="json", exclude_none=True) for edit in plan.edits]
        return {"edits": edits, "phases": list(plan.phases), "strength": strength}

    def fingerprint_of(self, steering: Field) -> str:
        """Give the fingerprint that the server must report for a field of ours."""
        if "plan" in steering:
            return next(found for found, name in self.registered.items() if name == steering["plan"])
        document = {
            "schema": "polyglyph.plan/1",
            "name": "inline",
            "model": self.model.binding.model_dump(mode="json"),
            "phases": steering.get("phases", PHASES),
            "edits": steering["edits"],
        }
        return parse_plan(document).fingerprint
