"""The documents that travel: plan, steering and routing fields, stats, policy, errors. Pydantic only."""
