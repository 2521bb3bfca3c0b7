"""Fixtures of several test modules."""

import contextlib
import io
import os
import signal
import sys
from types import SimpleNamespace

import pytest

THREADS = 2
# As `devices.start` does; test modules that import TensorFlow come before it.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(scope="session")
def tensorflow():
    """TensorFlow, started as a run starts it, once."""
    from rethink_tf.training.devices import setup as devices

    devices.start(THREADS)
    import tensorflow as tf

    return tf


@pytest.fixture(scope="module")
def small_pictures():
    """A module's runs write 8x8 pixels in place of the grid, which takes a second to draw."""
    import numpy as np

    from rethink_tf.training.recording import samples

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples, "run_samples", lambda *_: np.zeros([8, 8, 3], np.uint8))
        yield


@pytest.fixture(scope="module")
def light_runs(tensorflow, small_pictures):
    """A module's runs cost a second or two each: small pictures, and no XLA to compile.

    For tests of what does not depend on either; test_preemption resumes runs that XLA compiled.
    """
    from rethink_tf.training import trainer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "compile_with_xla", lambda *_: False)
        yield


def _cut_off(patch, folder):
    """No data set on disk, no network, no cache of the user's."""
    import requests

    def no_answer(url, **_):
        raise requests.ConnectionError(f"no network in tests: {url}")

    patch.setattr(requests, "head", no_answer)
    patch.setenv("TFDS_DATA_DIR", str(folder / "no_data"))
    patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """tmp_path, where no data set lies, and no network."""
    _cut_off(monkeypatch, tmp_path)
    return tmp_path


@pytest.fixture(scope="session", autouse=True)
def patience():
    """A signal to the tests' own process: a slow machine's answer must not end all the tests."""
    from rethink_tf.training import preemption

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preemption, "GRACE_SECONDS", 120.0)
        yield


@pytest.fixture
def own_signals():
    """Puts the handlers back that `main.guarded` replaces."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def no_training(monkeypatch):
    """Whatever starts TensorFlow or trains fails the test."""

    def fail(*_, **__):
        raise AssertionError("nothing is to be trained here")

    monkeypatch.setattr("rethink_tf.training.devices.setup.start", fail)
    if "rethink_tf.training.trainer" in sys.modules:
        monkeypatch.setattr("rethink_tf.training.trainer.train", fail)


@pytest.fixture
def call(capsys, own_signals):
    """(exit code, stdout, stderr) of one command line."""
    from rethink_tf import main
    from rethink_tf.cli import app

    def run(*argv):
        capsys.readouterr()
        code = app.guarded(main.main, list(argv))
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def refused(call):
    """(exit code, the one line on stderr) of a command line that fails."""

    def run(*argv):
        code, _, err = call(*argv)
        assert err.startswith("rethink_tf: ") and err.endswith("\n") and err.count("\n") == 1
        assert "Traceback" not in err
        return code, err

    return run


@pytest.fixture(scope="session")
def tiny(tensorflow, tmp_path_factory):
    """A real run of seconds, its data set left open, offline: where it lies and what it said."""
    from rethink_tf import main
    from rethink_tf.cli import app

    folder = tmp_path_factory.mktemp("tiny")
    argv = ["--model=mlp_1x512", "--epochs=2", "--corrupt=1.0", "--examples=300"]
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        _cut_off(patch, folder)
        before = signal.getsignal(signal.SIGTERM)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = app.guarded(main.main, [*argv, f"--runs_dir={folder}/runs"])
        signal.signal(signal.SIGTERM, before)
    run_id = "mlp_1x512-d1be464e270a"
    return SimpleNamespace(
        argv=argv,
        code=code,
        err=err.getvalue(),
        out=out.getvalue(),
        run_dir=folder / "runs" / run_id,
        run_id=run_id,
        runs_dir=folder / "runs",
    )
