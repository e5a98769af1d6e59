"""The guard: experts that no edit may ban, unless who asks says that it is meant (methods section 4)."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from polyglyph.contract.errors import GuardedExpertError
from polyglyph.contract.expert_set import ExpertSet
from polyglyph.contract.plan import Edit, Plan


class Guard:
    """The experts of all guard sets of one model.

    Args:
        sets: Expert sets of the loaded model; those that are no guards are left out.
    """

    def __init__(self, sets: Iterable[ExpertSet] = ()) -> None:
        self._set_of: dict[tuple[int, int], str] = {}
        for experts in sets:
            if experts.guard:
                pairs = ((entry.layer, expert) for entry in experts.experts for expert in entry.experts)
                self._set_of |= dict.fromkeys(pairs, experts.name)

    def check(self, edits: Sequence[Edit], *, param: str, allowed_by: str) -> None:
        """Refuse edits that take a guarded expert out.

        Args:
            edits: Of a plan or of a request.
            param: Field path they came from; an edit's index is appended.
            allowed_by: Where `allow_super_experts` would have to be said, for the error's text.

        Raises:
            GuardedExpertError: `param` names the first such edit; the text, the guard's set and the experts.
        """
        for index, edit in enumerate(edits):
            if found := self._guarded(edit):
                name, experts = next(iter(found.items()))
                where = f"{param}[{index}].experts"
                raise GuardedExpertError(
                    f"{where}: '{edit.op}' would take expert {', '.join(map(str, experts))} of layer {edit.layer} out, "
                    f"which the expert set '{name}' guards; leave it out, or set 'allow_super_experts' in {allowed_by}",
                    param=where,
                )

    def check_plan(self, plan: Plan, *, root: str) -> None:
        """Refuse a plan that takes a guarded expert out and does not say that it means to.

        Raises:
            GuardedExpertError: See `check`.
        """
        if not plan.allow_super_experts:
            self.check(plan.edits, param=f"{root}.edits", allowed_by="the plan")

    def _guarded(self, edit: Edit) -> dict[str, list[int]]:
        """Give the guarded experts that an edit takes out, by the name of the set."""
        found: dict[str, list[int]] = defaultdict(list)
        if edit.op == "ban" or (edit.op == "scale" and edit.value == 0):
            for expert in edit.experts:
                if (name := self._set_of.get((edit.layer, expert))) is not None:
                    found[name].append(expert)
        return found
