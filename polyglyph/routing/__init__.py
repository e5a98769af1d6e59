"""The vLLM plugin: engine hooks, token-to-slot mapping, device stats."""
