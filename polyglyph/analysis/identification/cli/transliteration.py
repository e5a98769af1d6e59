"""`polyglyph identify transliteration`: experts of an entity's name in whichever script it is written."""

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
from polyglyph.analysis.identification.cli.token_options import (
    RunPath,
    Scripts,
    TokenizerFolder,
    scripts_of,
)
from polyglyph.analysis.identification.identified import Identified


def transliteration(
    evidence: RunPath,
    *,
    tokenizer: TokenizerFolder = None,
    labels: LabelsFile = None,
    scripts: Scripts = None,
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
    """Choose the experts that an entity's tokens select more than the prompt's other text, in every script.

    RUN asks about the same entities ('item') in several scripts and says how each prompt writes its 'entity'.
    """
    from polyglyph.analysis.identification.choosing import Choosing
    from polyglyph.analysis.identification.cli.evidence import beside_scripts, read
    from polyglyph.analysis.identification.entity_contrast import contrast_entities
    from polyglyph.analysis.identification.model_tokenizer import model_tokenizer
    from polyglyph.analysis.identification.outcome_contrast import asked_scripts
    from polyglyph.analysis.identification.trace_evidence import open_traces
    from polyglyph.analysis.identification.transliteration import DEFAULT_EDITING, identify

    editing, names = editing_of(op, value, renormalize, default=DEFAULT_EDITING), scripts_of(scripts)
    traces = open_traces(evidence, labels)
    texts = model_tokenizer(tokenizer, traces.model)
    found = identify(
        contrast_entities(traces.labelled(), texts, model=traces.model, scripts=names),
        editing,
        phases=phases_of(phases),
        choosing=Choosing(top=top, fdr=fdr, layers=layers_of(layers)),
        looks_for_copies=copies,
        seed=seed,
        evidence_sha256=traces.digest,
    )
    counts = read(evidence, labels)
    return beside_scripts(found, counts, asked_scripts(counts, names), evidence, labels)
