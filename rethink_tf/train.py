"""The whole of a run: who may train, what is finished already, how it ends.

TensorFlow is imported only when there is something to train.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rethink_tf import console, results
from rethink_tf.command_line import Options
from rethink_tf.config import RunConfig
from rethink_tf.errors import AuditError, DivergedError, RequestError

DEFAULTS = Options()


def run(
    config: RunConfig,
    run_dir: Path | str,
    *,
    options: Options = DEFAULTS,
    argv: list[str] | None = None,
    say: Callable[[str], None] = console.say,
) -> dict[str, Any]:
    """Trains one configuration and writes its results; a finished run is only read back.

    Args:
        config: resolved (`config.resolve`).
        run_dir: of this run, `<runs_dir>/<run_id>`.
        options: where data lie and how the run is carried out (`runs_dir` is not used).
        argv: the command line, recorded in config.json.
        say: takes the lines for the reader.

    Returns:
        The summary (`results` documents its keys), its status DONE.

    Raises:
        AuditError: the data are not what the configuration says (nothing was trained), or the run
            ended INVALID.
        DivergedError: the loss became NaN or infinite.
        StoppedError: a signal came; the run is saved.
        InUseError, StorageError, RequestError: see `errors`.
    """
    run_dir = Path(run_dir)
    summary = results.read_summary(run_dir)
    if summary is not None:
        say(f"{run_dir}: finished already; this is its summary")
    else:
        with results.locked(run_dir):
            # Another process may have finished it since.
            summary = results.read_summary(run_dir)
            if summary is None:
                summary = _train(config, run_dir, options, argv, say)

    say(f"{console.verdict(summary, config)}\n{run_dir}")
    if summary["status"] == results.INVALID:
        raise AuditError(f"INVALID: {summary['reason']}")
    if summary["status"] == results.DIVERGED:
        raise DivergedError(f"DIVERGED: {summary['reason']}")
    return summary


def _train(config, run_dir, options, argv, say):
    from rethink_tf import devices

    threads = devices.start(options.threads, options.devices, options.deterministic)
    from rethink_tf import session

    try:
        return session.train(config, run_dir, options=options, threads=threads, argv=argv, say=say)
    except Exception as error:
        # TensorFlow's own type is named, not imported: this module loads without it.
        if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
            raise RequestError(
                f"--batch_size: {config.batch_size} examples a step do not fit into memory; "
                "type a smaller one, or fewer --examples"
            ) from None
        raise


def plan(config: RunConfig) -> str:
    """What --dry_run prints: configuration, run id, parameters, and the memory of the data."""
    from rethink_tf import devices

    devices.start(0)
    from rethink_tf import session

    return session.plan(config)
