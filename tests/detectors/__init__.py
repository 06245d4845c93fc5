"""Tests of the detectors, file by file."""
