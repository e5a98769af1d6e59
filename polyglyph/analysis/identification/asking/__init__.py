"""Labelled runs, the asking side: prompts through a server, each with its trace and its labels."""
