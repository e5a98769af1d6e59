"""`polyglyph identify transliteration`: experts of an entity's name in whichever script it is written."""

from polyglyph.analysis.identification.cli.options import (
    DEFAULT_PHASES,
    Fdr,
    LabelsFile,
    Layers,
    Phases,
    Renormalize,
    Seed,
    Top,
    Value,
    layers_of,
    phases_of,
)
from polyglyph.analysis.identification.cli.token_options import (
    Promotion,
    RunPath,
    Scripts,
    TokenizerFolder,
    promotion_of,
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
    fdr: Fdr = 0.05,
    layers: Layers = None,
    seed: Seed = 0,
    op: Promotion = "add_std",
    value: Value = None,
    renormalize: Renormalize = None,
    phases: Phases = DEFAULT_PHASES,
) -> Identified:
    """Choose the experts that an entity's tokens select more than the prompt's other text, in every script.

    RUN asks about the same entities ('item') in several scripts and says how each prompt writes its 'entity'.
    """
    from polyglyph.analysis.identification.entity_contrast import contrast_entities
    from polyglyph.analysis.identification.model_tokenizer import model_tokenizer
    from polyglyph.analysis.identification.trace_evidence import open_traces
    from polyglyph.analysis.identification.transliteration import identify

    editing, names = promotion_of(op, value, renormalize=renormalize), scripts_of(scripts)
    traces = open_traces(evidence, labels)
    texts = model_tokenizer(tokenizer, traces.model)
    return identify(
        contrast_entities(traces.labelled(), texts, model=traces.model, scripts=names),
        editing,
        phases=phases_of(phases),
        top=top,
        fdr=1.0 if fdr is None else fdr,
        layers=layers_of(layers),
        seed=seed,
        evidence_sha256=traces.digest,
    )
