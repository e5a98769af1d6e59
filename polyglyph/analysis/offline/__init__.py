"""A transformers pass over any Mixture-of-Experts model that fits: what its routers chose, what its experts gave."""
