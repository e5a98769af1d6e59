"""Reproductions: what papers claim of their methods, tried on the organism, each against its random control."""
