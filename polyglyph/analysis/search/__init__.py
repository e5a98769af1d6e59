"""Search: plans from a server's own stats, their strength and layers chosen on development items only."""
