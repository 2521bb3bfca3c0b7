"""The parts of benchmark.py: `steps` measures step and input, `runs` loop.

`candidates` starts what is timed, each in a process of its own; `task` is what all train.
"""
