"""What checkpoints cost, and how soon a stopped run goes on, for benchmark.py: a real run that gets
a SIGTERM after its first epoch, and the same command again."""

from pathlib import Path

import benchmark_loop
import benchmark_runs

from rethink_tf.config.flags import Options
from rethink_tf.errors import ExitCode
from rethink_tf.runs import results

EVERY = Options().checkpoint_every


def measure(row: dict, options, scratch: Path) -> dict:
    """Stops a run, lets it go on, and reads what it wrote.

    Args:
        row, options, scratch: see `benchmark_loop.request`.

    Returns:
        The row of the report, see `figures`. Only `failed`, the reason, where a run did not end as
        it should.
    """
    flags, examples, num_test = benchmark_loop.request(row, options, scratch, "checkpoint")
    flags["checkpoint_every"] = 1  # several writes, of which the best counts
    found = {"model": row["model"], "precision": row["precision"]}
    stopped = benchmark_runs.run(
        flags, scratch, stop_when=lambda: bool(benchmark_loop.history(flags["runs_dir"]))
    )
    if stopped["code"] != ExitCode.TERMINATED:
        reason = stopped["error"] or "it ended before it was stopped: a longer --epoch_seconds"
        return {**found, "failed": reason}
    resumed = benchmark_runs.run(flags, scratch)
    if resumed["code"]:
        return {**found, "failed": resumed["error"]}
    (run_dir,) = Path(flags["runs_dir"]).iterdir()
    (place,) = results.read_config(run_dir)["resumed"]
    size = max(path.stat().st_size for path in (run_dir / results.CHECKPOINTS).iterdir())
    return {
        **found,
        "examples": examples,
        "checkpoint_bytes": size,
        **figures(
            [line["timing"] for line in results.read_history(run_dir)],
            results.read_summary(run_dir)["timing"],
            place["epoch"],
            resumed["started"],
            examples,
            num_test,
        ),
    }


def figures(
    timing: list[dict], last: dict, resumed: int, started: float, examples: int, num_test: int
) -> dict:
    """What history and summary of a resumed run say.

    Args:
        timing: of each epoch of the history.
        last: `timing` of the summary.
        resumed: number of epochs that the stopped process had completed.
        started: when the second process was started, by the clock of the history.
        examples, num_test: of the run.

    Returns:
        `checkpoint_seconds` of one, `checkpoint_share` of the epochs between two by default, at
        50,000 examples with 10,000 for testing; `restore_seconds` of reading and taking back, and
        `start_to_next_step_seconds` from the start of the process.
    """
    own = timing[resumed:]
    full = benchmark_loop.full_epoch(own, examples, num_test)
    first, per_image = own[0], full["train"] / benchmark_loop.TRAIN
    before = first["finished"] - started - first["train_seconds"] - first["eval_seconds"]
    # The first epoch of the second process is what the stopped one left of it.
    images = (first["images_per_second"] or 0.0) * first["train_seconds"]
    write = min(last["checkpoint_seconds"])
    return {
        "checkpoint_seconds": write,
        "checkpoint_share": write / (EVERY * full["all"]),
        "restore_seconds": last["restore_seconds"],
        "start_to_next_step_seconds": before + first["train_seconds"] - images * per_image,
    }
