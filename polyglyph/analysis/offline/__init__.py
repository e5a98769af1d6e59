"""A pass of transformers over any Mixture-of-Experts model that fits: what its routers chose and what its experts gave."""
