"""Kernel interpolation as a task: its request, its data, its solutions."""
