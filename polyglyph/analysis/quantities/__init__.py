"""Quantities: what describes routing (methods section 2), as pure functions of arrays; what does not exist is NaN."""
