"""Windlass and its peers under the same load, on the same servers: see docs/design/benchmarks.md."""
