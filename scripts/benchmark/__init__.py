"""The parts of benchmark.py.

`command` reads the flags and goes through the models, `tables` prints. `candidates` starts what is
timed, each in a process of its own: `tensorflow_steps`, `torch_steps` and `imagenet_input` make
candidates. `steps`, `runs` and `imagenet_input` measure the parts step, loop and input. `task` is
what all train.
"""
