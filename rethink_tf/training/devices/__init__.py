"""Threads, GPUs, strategies, workers, and variables with a copy on each replica."""
