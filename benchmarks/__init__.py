"""Measurements: `benchmarks.run` is ours alone, `benchmarks.peers` compares with others."""
