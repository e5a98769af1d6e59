"""`clusters`: experts whose selections spread over the groups in the same way, to be turned together as a dial.

Letters of shapes: G groups, L MoE layers, E experts.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from polyglyph.analysis.identification.editing import Editing, Operation
from polyglyph.analysis.identification.errors import IdentificationError
from polyglyph.analysis.identification.expert_table import expert_table
from polyglyph.analysis.identification.expert_weights import ExpertWeights
from polyglyph.analysis.identification.identified import Identified
from polyglyph.analysis.quantities.clusters import clusters_of, shares_of_groups
from polyglyph.contract.plan import PHASES, Phase

if TYPE_CHECKING:
    from polyglyph.analysis.evidence.counts import Counts

METHOD = "clusters"
DEFAULT_EDITING = Editing(op=Operation.ADD_STD, value=0.5)


def identify(
    counts: "Counts",
    column: str,
    of: Sequence[str],
    *,
    among: Sequence[str] = (),
    layers: Sequence[int] | None = None,
    editing: Editing = DEFAULT_EDITING,
    phases: Sequence[Phase] = PHASES,
) -> Identified:
    """Cluster all experts by the groups' shares in their selections, and choose the cluster of some groups.

    Nothing is tested: a cluster describes, and what its dial does is to be measured beside random controls.

    Args:
        counts: The evidence.
        column: The label that tells the groups apart.
        of: The groups that have more than their part in the cluster's selections, and no others; empty for the experts
            that all groups select alike.
        among: The groups that are compared; all of them unless named.
        layers: MoE layers to choose from; all of them unless named.
        editing: What a plan does with the chosen experts.
        phases: Of the plan.

    Raises:
        EvidenceError: A group has no tokens, or there is no such label.
        IdentificationError: There are fewer than two groups, or no cluster of these.
    """
    groups = (counts.where(**{column: among}) if among else counts).by(column)
    if groups.num_groups < 2:
        raise IdentificationError(
            f"expected two groups or more by {column}, got {', '.join(groups.names)}: there is nothing to tell apart"
        )
    if not groups.selected_GLE.any():
        raise IdentificationError("expected evidence of selected experts, got none: no layer was ever routed")
    found = clusters_of(groups.frequencies_GLE)
    named = {frozenset(groups.names[index] for index in cluster.groups): n for n, cluster in enumerate(found.clusters)}
    if frozenset(of) not in named:
        there = "; ".join(", ".join(sorted(names)) or "all alike" for names in named)
        raise IdentificationError(f"expected a cluster of {', '.join(of) or 'all alike'}, got clusters of {there}")
    chosen_LE = found.member_LE == named[frozenset(of)]
    if layers is not None:
        chosen_LE &= np.isin(np.arange(len(chosen_LE)), layers)[:, None]
    share_GLE = shares_of_groups(groups.frequencies_GLE).reshape(groups.frequencies_GLE.shape)
    own = [groups.names.index(name) for name in of] or list(range(groups.num_groups))
    what = ", ".join(of) or "all groups alike"
    return Identified(
        method=METHOD,
        model=counts.model,
        table=expert_table(
            share_GLE[own].sum(axis=0),
            chosen_LE,
            {"cluster": found.member_LE, **dict(zip(map("share_{}".format, groups.names), share_GLE, strict=True))},
        ),
        edits=editing.edits(chosen_LE.astype(np.int64)),
        phases=tuple(phases),
        experts=ExpertWeights(weights={(int(layer), int(expert)): 1.0 for layer, expert in np.argwhere(chosen_LE)}),
        frequencies_LE=groups.frequencies_GLE.mean(axis=0),
        parameters={"by": column, "of": list(of), "among": list(groups.names), **editing.to_json()},
        statistics={"clusters": len(found.clusters), "chosen": int(chosen_LE.sum())},
        notes=("clusters describe and are not tested: try their dial beside random controls",),
        evidence_sha256=counts.digest,
        description=f"The cluster of experts that {what} select more than their part.",
    )
