"""A run that is killed as a write begins goes on, by the same command, to the same end."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from short_runs import timeless

import rethink_tf
from rethink_tf import main
from rethink_tf.cli import app
from rethink_tf.config import run_config
from rethink_tf.config.flags import Options
from rethink_tf.config.run_config import RunConfig
from rethink_tf.runs import checkpoint, results
from rethink_tf.training import run as train

pytestmark = pytest.mark.usefixtures("light_runs")
RUN = {"model": "mlp_1x512", "dataset": "digits", "examples": 200, "epochs": 2, "corrupt": 0.5}
ARGV = [f"--{name}={value}" for name, value in RUN.items()]
ARGV += ["--checkpoint_every=1", "--threads=2"]
# Every call of os.fsync and os.replace of a run, in order: a file, its new name, its folder; the
# history is appended to, not replaced.
CALLS = [
    "fsync",
    "config.json",
    "fsync",
    "fsync",
    "samples.png",
    "fsync",
    "fsync",
    "fsync",
    "000001-00000000.ckpt",
    "fsync",
    "fsync",
    "fsync",
    "000002-00000000.ckpt",
    "fsync",
    "fsync",
    "examples.npz",
    "fsync",
    "fsync",
    "summary.json",
    "fsync",
]
# Killed as the n-th call begins: epochs in the history, checkpoints, then "resumes after epoch".
KILLS = {
    7: (1, 0, None),  # the line of epoch 1 is written, not yet synced
    9: (1, 0, None),  # the first checkpoint lies beside, not yet renamed
    13: (2, 1, 1),  # within the second: its epoch stands in the history, not in a checkpoint
    19: (2, 2, 2),  # all but the summary
}
# TensorFlow is imported once and started in each child: it has no threads before.
DRIVER = """
import json, os, signal, sys
import numpy as np
from rethink_tf.training.devices import setup as devices
with devices._native_stderr_held_back():
    import tensorflow
from rethink_tf import main
from rethink_tf.cli import app
from rethink_tf.training import trainer
from rethink_tf.training.recording import samples
samples.run_samples = lambda *_: np.zeros([8, 8, 3], np.uint8)
trainer.compile_with_xla = lambda *_: False
calls = 0
def killing(real, last):
    def call(*args, **kinds):
        global calls
        calls += 1
        if calls == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kinds)
    return call
ended = {}
for last, folder in json.loads(sys.argv[1]).items():
    child = os.fork()
    if not child:
        os.fsync, os.replace = killing(os.fsync, int(last)), killing(os.replace, int(last))
        os._exit(app.guarded(main.main, [*sys.argv[2:], f"--runs_dir={folder}"]))
    ended[last] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(json.dumps(ended))
"""


@pytest.fixture(scope="module")
def uninterrupted(tensorflow, tmp_path_factory):
    """A run to its end, and its calls of os.fsync and os.replace."""
    run_dir, calls = tmp_path_factory.mktemp("whole"), []
    with pytest.MonkeyPatch.context() as patch:
        fsync, replace = os.fsync, os.replace
        patch.setattr(os, "fsync", lambda file: (calls.append("fsync"), fsync(file)))
        patch.setattr(os, "replace", lambda a, b: (calls.append(Path(b).name), replace(a, b)))
        wanted = run_config.resolve(RunConfig(**RUN))
        train.run(wanted, run_dir, options=Options(checkpoint_every=1), say=lambda _: None)
    return timeless(run_dir), calls


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """One folder of runs for each kill, by a process that forks a child for each."""
    folders = {n: tmp_path_factory.mktemp(f"killed{n}") for n in KILLS}
    where = json.dumps({n: str(folder) for n, folder in folders.items()})
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, where, *ARGV],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(rethink_tf.__file__).parent.parent)},
        timeout=600,
    )
    assert (done.returncode, done.stderr) == (0, "")
    ended = json.loads(done.stdout.splitlines()[-1])
    assert ended == dict.fromkeys(map(str, KILLS), -signal.SIGKILL)
    return folders


def test_the_calls_of_a_run_are_as_the_kills_assume(uninterrupted):
    assert uninterrupted[1] == CALLS


@pytest.mark.slow
@pytest.mark.parametrize("n", KILLS)
def test_a_killed_run_goes_on_to_the_same_end(n, uninterrupted, killed, capsys, own_signals):
    epochs, checkpoints, after = KILLS[n]
    (run_dir,) = killed[n].iterdir()
    assert len(results.read_history(run_dir)) == epochs
    assert len(checkpoint.stored(run_dir / results.CHECKPOINTS)) == checkpoints
    assert results.read_summary(run_dir) is None
    if epochs > 1:  # as if killed within a write of the history
        with open(run_dir / results.HISTORY, "a") as file:
            file.write('{"epoch": 3, "lo')
    assert app.guarded(main.main, [*ARGV, f"--runs_dir={killed[n]}"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert (f"resumes after epoch {after}, step 0 of the next" in out) == (after is not None)
    assert ("without a checkpoint lies here; it starts over" in out) == (after is None)
    assert timeless(run_dir) == uninterrupted[0]
    stored = checkpoint.stored(run_dir / results.CHECKPOINTS)
    assert set((run_dir / results.CHECKPOINTS).iterdir()) == set(stored), "nothing left beside"
    assert [path.name for path in killed[n].iterdir()] == [run_dir.name]
