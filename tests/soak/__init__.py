"""Soak test: runs that are killed, terminated or fail to write are resumed until they finish.

`python -m tests.soak --kills 100` from the repository's root; see __main__.py.
"""
