"""Offline: the model organism; from stats and traces to experts, plans and evaluations."""
