"""Scoring: what an answer says, whether it is right, in which script and how often it repeats itself."""
