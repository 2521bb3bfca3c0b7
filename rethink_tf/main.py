"""One run from the command line: python -m rethink_tf.main --model=inception --corrupt=1.0"""

import sys
from pathlib import Path

if __name__ == "__main__":  # before the other imports, so that Ctrl-C during them is one line too
    from rethink_tf.cli import app

    app.entry(["train", *sys.argv[1:]])

from rethink_tf import console
from rethink_tf.config import run_config
from rethink_tf.config.command_line import Parsed
from rethink_tf.config.flags import LINE, Options, wanted
from rethink_tf.data import registry as datasets
from rethink_tf.errors import ExitCode
from rethink_tf.runs import results
from rethink_tf.runs.request import prepare
from rethink_tf.storage import paths
from rethink_tf.training import run as train


def main(argv: list[str]) -> int:
    """Runs one command line (without the program's name) and returns its exit code."""
    return LINE.run(argv, lambda parsed: _train(parsed, argv))


def _train(parsed: Parsed, argv: list[str]) -> int:
    asked, options = wanted(parsed), parsed[Options]
    resolved = prepare(asked, options)
    if note := run_config.smaller_batch(asked, resolved):
        console.say(note)
    train.check(resolved, options)
    run_dir = Path(options.runs_dir) / run_config.run_id(resolved)
    if not options.dry_run and results.read_summary(paths.absolute(run_dir)) is None:
        datasets.require(resolved.dataset, options.data_dir)
    if options.dry_run:
        console.say(train.plan(resolved, options))
        return ExitCode.DONE
    train.run(resolved, run_dir, options=options, argv=argv)
    return ExitCode.DONE
