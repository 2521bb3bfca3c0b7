"""The test error of finished runs on corrupted test labels: rethink-tf corrupted-test RUN"""

import dataclasses

from rethink_tf import console
from rethink_tf.config import fields
from rethink_tf.config.command_line import CommandLine, FlagSet, Parsed
from rethink_tf.config.flags import PLACES, Options
from rethink_tf.errors import ExitCode
from rethink_tf.runs import agreement, results
from rethink_tf.training.devices import setup as devices


@dataclasses.dataclass(frozen=True)
class Flags:
    """How often the test labels are corrupted anew."""

    draws: int = fields.field(
        20,
        int,
        "number of independent draws of corrupted test labels",
        group="This command",
        low=2,
        high=1000,
    )


LINE = CommandLine(
    "rethink-tf corrupted-test",
    """
    Measures the error of finished runs on their test sets: on the true labels, and on labels that
    are corrupted with the run's own probability. Figure 1c of the paper may show either error. The
    corrupted test labels are drawn by this command; no training and no summary uses them.

    Each result is also written to RUN/corrupted_test.json.
    """,
    (Flags, FlagSet(Options, only=PLACES)),
    positionals="RUN [RUN ...]",
    least=1,
    positionals_help="RUN: the folder or the id of a finished run, with its checkpoint",
)


def main(argv: list[str]) -> int:
    """The command: one line for each run."""
    return LINE.run(argv, _measure)


def _measure(parsed: Parsed) -> int:
    options = parsed[Options]
    folders = [results.require_folder(named, options.runs_dir) for named in parsed.positionals]
    for folder in folders:
        agreement.read_done(folder)  # a damaged or unfinished run is named before TensorFlow starts
    devices.start(options.threads)
    from rethink_tf.analysis import corrupted_test

    for folder in folders:
        result = corrupted_test.measure(
            folder,
            draws=parsed[Flags].draws,
            data_dir=options.data_dir,
            cache_dir=options.cache_dir,
            say=console.say,
        )
        corrupted_test.write(result, folder)
        console.say(
            f"{result.run_id}: p = {result.corrupt:g}, {result.test_examples:,} test examples: "
            f"error {result.error:.4f} on true test labels, {result.mean:.4f} +- {result.std:.4f} "
            f"on corrupted ones ({len(result.corrupted_errors)} draws; expected "
            f"{result.expected_error:.4f})"
        )
    return ExitCode.DONE
