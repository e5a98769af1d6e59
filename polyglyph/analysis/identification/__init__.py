"""Identification: from what was observed to the experts of a behaviour, and to plans (methods section 3)."""
