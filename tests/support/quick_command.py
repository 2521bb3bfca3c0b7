"""A run of a fraction of a second in place of a training, for the tests of sweeps.

What it does is its flag --do: finish, fail, slow (until it is signalled, or finishes the second
time), environment (writes what it was given).
"""

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

from rethink_tf.experiments.plan import Experiment
from rethink_tf.runs import results
from rethink_tf.runs import status as run_progress
from rethink_tf.storage import files

TRIAL = Experiment(
    "Quick runs",
    ("quickstart.flags",),
    {"do": "finish"},
    command=("quick_command",),
    identified_by="quick_command",
)


def identify(argv):
    """(configuration, run id), as an experiment's module has it."""
    own = dict(word.removeprefix("--").split("=", 1) for word in argv)
    values = {"do": own["do"], "seed": own["seed"]}
    return values, f"quick-{hashlib.sha256(json.dumps(values).encode()).hexdigest()[:8]}"


def finish(run_dir, run_id, **more):
    """The files of a finished run that is no training."""
    named = {"run_id": run_id, "config": {"do": "what the test says"}}
    results.write_config(run_dir, named)
    results.finish(
        run_dir,
        {
            "status": "DONE",
            "reason": None,
            "kind": "quick",
            "audit": [],
            "train_accuracy": 0.5,
            "test_accuracy": 0.5,
            **named,
            **more,
        },
    )


def main(argv):
    values, run_id = identify(argv)
    flags = dict(word.removeprefix("--").split("=", 1) for word in argv)
    run_dir = Path(flags["runs_dir"]) / run_id
    run_dir.mkdir(parents=True, exist_ok=True)
    print("one line\n\nthe last line", flush=True)
    if values["do"] == "fail":
        return 6
    if values["do"] == "slow" and run_progress.state(run_dir) == "missing":

        def stopped(signum, _frame):
            (run_dir / "stopped").write_text(str(signum))
            os._exit(128 + signum)

        signal.signal(signal.SIGTERM, stopped)
        signal.signal(signal.SIGINT, stopped)
        files.write_json(run_dir / results.CONFIG, {})
        (run_dir / "waits").touch()  # a signal is answered from here on
        time.sleep(60)
    given = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")}
    given |= {"cores": sorted(os.sched_getaffinity(0)), "threads": flags["threads"]}
    finish(run_dir, run_id, given=given)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
