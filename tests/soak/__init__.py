"""Soak: runs that are killed, terminated and denied the disk, resumed until they are finished.

`python -m tests.soak --kills 100` from the repository's root; see __main__.py.
"""
