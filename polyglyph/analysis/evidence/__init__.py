"""Evidence: what a model's routers were seen to select, as arrays and frames, from stats, traces and labelled runs."""
