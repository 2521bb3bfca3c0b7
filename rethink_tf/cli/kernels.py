"""Kernel interpolation (Table 3): rethink-tf kernels --dataset=mnist"""

from rethink_tf.errors import ExitCode
from rethink_tf.experiments.kernels import (
    request as kernel_settings,
)
from rethink_tf.experiments.kernels import task


def main(argv: list[str]) -> int:
    """Runs one command line (without the program's name) and returns its exit code."""
    request = kernel_settings.parse(argv, "rethink-tf kernels", task.ABOUT, task.OWN_FLAGS)
    if request is None:
        return ExitCode.DONE
    run, settings, more = request
    with task.saying_what_is_kept(settings, more["runs_dir"]):
        return task.carry_out(run, settings, more["runs_dir"], argv)
