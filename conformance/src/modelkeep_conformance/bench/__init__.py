"""Benchmarks: each backend beside its raw engine doing the same bytes, in one run, in turn."""
