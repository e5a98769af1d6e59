"""What outlives a server: plans, policy and sums, in SQLite or PostgreSQL."""
