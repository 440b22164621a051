"""Benchmarks: scripts that print ratios measured in one run. No test depends on a time."""
