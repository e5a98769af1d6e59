"""How many tokens speculative decoding may compute behind the end of an answer (decision 0006)."""

from polyglyph.clients.answers import EngineSettings


def max_drafts(engine: EngineSettings) -> int:
    """Give the most tokens of one sequence that went through the model and are in no usage."""
    drafts = engine.num_speculative_tokens or 0
    # One more step may be under way before the end is known.
    return drafts + (drafts + 1 if drafts and engine.async_scheduling else 0)


def drafts_text(engine: EngineSettings) -> str:
    """Say what is allowed, or nothing."""
    drafts = max_drafts(engine)
    return f", up to {drafts} accepted drafts behind the end of a sequence" if drafts else ""
