"""Comparison of two trees: do their runs leave the same bits, do they answer mistakes alike?

`python -m tests.compare COMMIT` from the repository's root; see __main__.py.
"""
