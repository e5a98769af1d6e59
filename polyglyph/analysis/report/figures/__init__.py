"""Figures: the page's panels as matplotlib figures, for papers and notebooks, out of the same findings."""
