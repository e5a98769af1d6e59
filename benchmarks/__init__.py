"""What Polyglyph costs, measured beside plain vLLM in one run."""
