"""One run from the command line: python -m rethink_tf.main --model=inception --corrupt=1.0"""

import dataclasses
import signal
import sys
from pathlib import Path

from rethink_tf import console, leaving, user_code
from rethink_tf.config import flags, run_config
from rethink_tf.data import registry as datasets
from rethink_tf.errors import ExitCode, RethinkError
from rethink_tf.runs import pretrained, results
from rethink_tf.training import run as train


def main(argv: list[str]) -> int:
    """Runs one command line (without the program's name) and returns its exit code."""
    request = flags.parse(argv)
    if request is None:
        console.say(flags.usage())
        return ExitCode.DONE
    wanted, options = request
    resolved = prepare(wanted, options)
    if words := run_config.smaller_batch(wanted, resolved):
        console.say(words)
    train.check(resolved, options)
    run_dir = Path(options.runs_dir) / run_config.run_id(resolved)
    if not options.dry_run and results.read_summary(run_dir) is None:
        datasets.require(resolved.dataset, options.data_dir)
    if options.dry_run:
        console.say(train.plan(resolved, options))
        return ExitCode.DONE
    train.run(resolved, run_dir, options=options, argv=argv)
    return ExitCode.DONE


def prepare(wanted: run_config.RunConfig, options: flags.Options) -> run_config.RunConfig:
    """The resolved configuration of a request; a data set left open is chosen and said."""
    wanted = pretrained.adopt(wanted, options.runs_dir)
    for name in run_config.FIELDS:  # before the data set is looked for, which can take seconds
        run_config.check_field(name, getattr(wanted, name))
    if wanted.dataset is None:
        chosen, why = datasets.choose_default(options.data_dir)
        console.say(why)
        wanted = dataclasses.replace(wanted, dataset=chosen)
    return run_config.resolve(wanted, options.data_dir, options.cache_dir, console.say)


# Of commands that keep nothing before their end.
NOTHING_KEPT = "interrupted; nothing is kept, the same command starts over"


def _terminated(*_):
    raise SystemExit(ExitCode.TERMINATED)


def guarded(command, argv: list[str], stopped="interrupted before anything was trained") -> int:
    """Runs a command so that an expected failure is one line on stderr and its exit code.

    Args:
        command: takes `argv` and returns the exit code.
        argv: arguments without the program's name.
        stopped: what is said where Ctrl-C ends it, unless the KeyboardInterrupt itself says it.
    """
    signal.signal(signal.SIGTERM, _terminated)
    try:
        return int(command(argv))
    except RethinkError as error:
        console.warn(" ".join(str(error).splitlines()))
        return int(error.exit_code)
    except KeyboardInterrupt as error:
        console.warn(str(error) or stopped)
        return int(ExitCode.INTERRUPTED)
    except (Exception, SystemExit):  # a bug, with its traceback; the end after SIGTERM
        raise
    except BaseException as error:  # of code that is not this package's
        console.warn(f"ended by {user_code.described(error)}, which is no Exception")
        return int(ExitCode.BUG)


if __name__ == "__main__":
    leaving.leave(lambda: guarded(main, sys.argv[1:]))
