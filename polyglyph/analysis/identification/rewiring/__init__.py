"""Rewiring (after 2510.14853): an additive vector that lowers the loss of a request's own context, found by asking."""
