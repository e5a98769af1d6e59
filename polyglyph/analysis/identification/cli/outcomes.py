"""`polyglyph identify inconsistency` and `shared-knowledge`: how answered questions are routed and missed ones not."""

from polyglyph.analysis.identification.cli.options import (
    ALL_PHASES,
    DEFAULT_FDR,
    Copies,
    Fdr,
    LabelsFile,
    Layers,
    Op,
    Phases,
    Renormalize,
    Seed,
    Top,
    Value,
    editing_of,
    layers_of,
    phases_of,
)
from polyglyph.analysis.identification.cli.token_options import RunPath, Scripts, scripts_of
from polyglyph.analysis.identification.identified import Identified


def inconsistency(
    evidence: RunPath,
    *,
    labels: LabelsFile = None,
    top: Top = None,
    fdr: Fdr = DEFAULT_FDR,
    layers: Layers = None,
    copies: Copies = True,
    seed: Seed = 0,
    op: Op = None,
    value: Value = None,
    renormalize: Renormalize = None,
    phases: Phases = ALL_PHASES,
) -> Identified:
    """Choose the experts that a question selects more where its fact is answered than in scripts where it is missed.

    RUN asks facts ('item') in several scripts and says which answers are 'right'. Experts that missed questions select
    more get the opposite edit.
    """
    from polyglyph.analysis.identification.choosing import Choosing
    from polyglyph.analysis.identification.cli.evidence import beside_scripts, read
    from polyglyph.analysis.identification.inconsistency import DEFAULT_EDITING, identify
    from polyglyph.analysis.identification.outcome_contrast import asked_scripts

    editing = editing_of(op, value, renormalize, default=DEFAULT_EDITING)
    counts = read(evidence, labels)
    found = identify(
        counts,
        editing,
        phases=phases_of(phases),
        choosing=Choosing(top=top, fdr=fdr, layers=layers_of(layers)),
        looks_for_copies=copies,
        seed=seed,
    )
    return beside_scripts(found, counts, asked_scripts(counts), evidence, labels)


def shared_knowledge(
    evidence: RunPath,
    *,
    labels: LabelsFile = None,
    scripts: Scripts = None,
    top: Top = 20,
    fdr: Fdr = DEFAULT_FDR,
    layers: Layers = None,
    copies: Copies = True,
    seed: Seed = 0,
    op: Op = None,
    value: Value = None,
    renormalize: Renormalize = None,
    phases: Phases = ALL_PHASES,
) -> Identified:
    """Choose experts that all scripts share, in the middle layers, and that answered questions select more.

    RUN is as 'inconsistency' takes it. The middle layers are the valley of the divergence between scripts, unless
    --layers names others.
    """
    from polyglyph.analysis.identification.choosing import Choosing
    from polyglyph.analysis.identification.cli.evidence import beside_scripts, read
    from polyglyph.analysis.identification.outcome_contrast import asked_scripts
    from polyglyph.analysis.identification.shared_knowledge import DEFAULT_EDITING, identify

    editing = editing_of(op, value, renormalize, default=DEFAULT_EDITING)
    counts = read(evidence, labels)
    found = identify(
        counts,
        editing,
        phases=phases_of(phases),
        choosing=Choosing(top=top, fdr=fdr, layers=layers_of(layers)),
        scripts=scripts_of(scripts),
        looks_for_copies=copies,
        seed=seed,
    )
    return beside_scripts(found, counts, asked_scripts(counts, scripts_of(scripts)), evidence, labels)
