"""The harm, and the proof that it was done: each call strikes a patient and returns what its logs and exit codes say of it.

A fault that left no trace raises AssertionError: a run in which nothing happened proves nothing.
"""
