"""Execution of many runs: parallel processes, a queue, and progress."""
