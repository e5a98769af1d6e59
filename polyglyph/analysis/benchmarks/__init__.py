"""Benchmarks that Polyglyph makes or reads: the organism, real names, ECLeKTic, MultiLoKo."""
