"""Tests of the processes: the real supervisor, with children that behave as a test needs them to."""
