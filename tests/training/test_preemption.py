"""SIGTERM and SIGINT: answered between dispatches, saved, and continued bit for bit.

One of the runs is compiled with XLA, as networks of this kind are on two threads.
"""

import os
import signal
import subprocess
import sys
import time

import pytest
from short_runs import signal_after, timeless

from rethink_tf.config.flags import Options
from rethink_tf.config.run_config import RunConfig, resolve
from rethink_tf.runs import results
from rethink_tf.training import run as train
from rethink_tf.training import trainer
from rethink_tf.training.evaluation import Evaluation
from rethink_tf.training.preemption import Stop, StoppedError

pytestmark = pytest.mark.usefixtures("light_runs")
CONFIG = resolve(
    RunConfig(model="mlp_1x512", dataset="digits", examples=200, epochs=3, corrupt=1.0, dropout=0.3)
)


def run(run_dir, said=None, xla=False):
    lines = [] if said is None else said
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "compile_with_xla", lambda *_: xla)
        return train.run(CONFIG, run_dir, options=Options(checkpoint_every=0), say=lines.append)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """{whether XLA compiles it: what a run finds that nothing stops}."""
    folder = tmp_path_factory.mktemp("whole")
    for xla in (False, True):
        run(folder / str(xla), xla=xla)
        assert results.read_config(folder / str(xla))["xla"] is xla
    return {xla: timeless(folder / str(xla)) for xla in (False, True)}


@pytest.mark.parametrize(
    "signum, code, step, xla",
    [
        (signal.SIGTERM, 143, 3, True),
        (signal.SIGINT, 130, 1, False),
        (signal.SIGTERM, 143, 7, False),
    ],
)
def test_stopped_within_an_epoch_and_continued_bit_for_bit(
    whole, tmp_path, monkeypatch, signum, code, step, xla
):
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    with monkeypatch.context() as patched:
        signal_after(patched, 7 + step, signum)  # 200 examples in batches of 32: 7 steps an epoch
        with pytest.raises(StoppedError, match=f"in epoch 2 after step {step} of 7, saved") as stop:
            run(tmp_path / "run", xla=xla)
    assert stop.value.exit_code == code
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before
    assert results.read_summary(tmp_path / "run") is None
    said = []
    run(tmp_path / "run", said, xla)
    assert f"resumes after epoch 1, step {step} of the next" in said
    assert timeless(tmp_path / "run") == whole[xla]
    assert results.read_summary(tmp_path / "run")["timing"]["restore_seconds"] > 0


def test_stopped_within_an_evaluation_and_continued_bit_for_bit(whole, tmp_path, monkeypatch):
    evaluate, calls = Evaluation.evaluate, []

    def signalled(self, *args, **more):
        calls.append(1)
        if len(calls) == 4:  # the test set, after the second epoch
            os.kill(os.getpid(), signal.SIGTERM)
        return evaluate(self, *args, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Evaluation, "evaluate", signalled)
        with pytest.raises(StoppedError, match="in epoch 2 after step 7 of 7, saved"):
            run(tmp_path / "run")
    assert [line["epoch"] for line in results.read_history(tmp_path / "run")] == [1]
    run(tmp_path / "run")
    assert timeless(tmp_path / "run") == whole[False]


@pytest.mark.parametrize(
    "call, said",
    [
        ("stop.trained()", "; the same command resumes from the last checkpoint"),
        ("pass", " before its first step; the same command starts again"),
    ],
)
def test_a_process_that_cannot_answer_is_ended_within_its_grace(call, said):
    code = "import os, signal, time\nfrom rethink_tf.training.preemption import Stop\n"
    code += f"with Stop() as stop:\n    {call}\n    print('in', flush=True)\n"
    code += "    os.kill(os.getpid(), signal.SIGTERM)\n    time.sleep(600)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (143, "in\n")
    assert done.stderr == f"rethink_tf: stopped{said}\n"


def test_without_a_signal_nothing_is_asked():
    with Stop() as stop:
        assert not stop.requested
    assert not stop.requested


def test_a_signal_in_a_notebook_ends_the_cell_and_not_the_process(monkeypatch):
    monkeypatch.setattr("rethink_tf.console.in_notebook", lambda: True)
    monkeypatch.setattr("rethink_tf.training.preemption.GRACE_SECONDS", 0.0)
    with pytest.raises(StoppedError, match="before its first step") as stopped, Stop():
        signal.raise_signal(signal.SIGINT)
    assert stopped.value.exit_code == 130
    monkeypatch.setattr("rethink_tf.training.preemption.GRACE_SECONDS", 0.01)
    with Stop() as stop:
        stop.trained()
        signal.raise_signal(signal.SIGINT)
        time.sleep(0.1)  # in which a process that is no notebook's would be ended
        assert stop.signum == signal.SIGINT
