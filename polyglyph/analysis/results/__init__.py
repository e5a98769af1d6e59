"""Results: what a run's answers say, as figures with intervals, tables and claims that are reached or not."""
