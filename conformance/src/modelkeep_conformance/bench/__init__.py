"""Benchmarks: each backend beside its raw engine doing the same, in one run and in turn.

What to read first: `measure` times, `place` makes stores. Each backend has a module of its own with its figures;
`growth` and `large` ask every backend the same; `peer` runs what a user might take instead. A new backend needs one
module with a table `FIGURES` and one line in `__main__`; without, it gets the figures that all backends get.
"""
