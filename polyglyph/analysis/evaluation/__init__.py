"""Evaluation: what steering does to answers, measured against a server, with the controls that a claim needs."""
