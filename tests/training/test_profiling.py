"""--profile: a trace lies where it was asked for, and the run is none the different for it."""

import pytest
from short_runs import timeless

from rethink_tf.config.flags import Options, parse
from rethink_tf.config.run_config import RunConfig, resolve
from rethink_tf.errors import StorageError
from rethink_tf.runs import agreement, results
from rethink_tf.training import run as train
from rethink_tf.training.preemption import StoppedError

pytestmark = pytest.mark.usefixtures("light_runs")


def run(run_dir, profile, epochs=2, batch_size=100, **changes):
    """(summary, what was said) of a run on 200 digits."""
    config = RunConfig(
        "mlp_1x512", dataset="digits", examples=200, epochs=epochs, batch_size=batch_size, **changes
    )
    said = []
    options = Options(profile=profile, checkpoint_every=0)
    summary = train.run(resolve(config), run_dir, options=options, say=said.append)
    return summary, [line for line in said if line.startswith("profile")]


def traces(folder):
    """The files of a profiler's trace, by their place below a folder."""
    return sorted(path.relative_to(folder) for path in folder.rglob("*.xplane.pb"))


@pytest.fixture(scope="module")
def plain(tensorflow, tmp_path_factory):
    """A run without a trace."""
    run_dir = tmp_path_factory.mktemp("plain")
    assert run(run_dir, None)[1] == [] and traces(run_dir) == []
    return run_dir


def test_the_trace_lies_where_it_was_asked_for_and_changes_nothing(plain, tmp_path):
    folder, run_dir = tmp_path / "asked" / "for", tmp_path / "run"
    _, said = run(run_dir, str(folder))
    (trace,) = traces(folder)
    assert trace.parts[:2] == ("plugins", "profile") and (folder / trace).stat().st_size > 1000
    assert len(said) == 1 and f"written below {folder}/plugins/profile" in said[0]
    assert traces(run_dir) == []
    assert timeless(run_dir) == timeless(plain)
    assert (run_dir / "examples.npz").read_bytes() == (plain / "examples.npz").read_bytes()


def test_the_trace_holds_the_work_of_the_steps_and_nothing_reads_it(tmp_path):
    """It may be cut short or taken away: the run answers, and a longer one resumes from it."""
    summary, _ = run(tmp_path / "short", "")
    folder = tmp_path / "short" / results.TENSORBOARD
    content = (folder / traces(folder)[0]).read_bytes()
    assert b"ResourceApplyMomentum" in content, "a dispatch was traced"
    (folder / traces(folder)[0]).write_bytes(b"no trace")
    assert run(tmp_path / "short", None)[0] == summary
    assert agreement.load_runs(tmp_path)[0]["weights_hash"] == summary["weights_hash"]
    longer, said = run(tmp_path / "longer", None, epochs=3)
    assert (longer["epochs"], said) == (3, [])


@pytest.mark.parametrize("batch_size, traced", [(50, True), (200, False)])
def test_a_run_of_one_epoch_is_traced_after_its_first_dispatch(
    batch_size, traced, tmp_path, tensorflow
):
    _, said = run(tmp_path, "", epochs=1, batch_size=batch_size)
    assert len(traces(tmp_path)) == len(said) - (not traced) == traced
    assert ("taken: the run ended" in said[0]) != traced


def test_a_folder_that_cannot_be_made_is_refused_before_training(tmp_path, tensorflow):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(StorageError, match="file/tb: Not a directory"):
        run(tmp_path / "run", f"{tmp_path}/file/tb")
    assert not (tmp_path / "run").exists() and (tmp_path / "file").read_text() == "kept"


def test_a_trace_that_fails_costs_no_run(plain, tmp_path, monkeypatch, tensorflow):
    def fail(*_):
        raise tensorflow.errors.UnavailableError(None, None, "no profiler here\nand more")

    monkeypatch.setattr(tensorflow.profiler.experimental, "start", fail)
    _, said = run(tmp_path, "")
    assert said == ["profile: none taken: no profiler here"]
    assert timeless(tmp_path) == timeless(plain)


def test_a_stopped_run_leaves_no_profiler_running(tmp_path, monkeypatch, tensorflow):
    from rethink_tf.training.train_step import Steps

    advance = Steps.advance

    def stopped(self, first, count):
        if self.epoch == 2:
            raise StoppedError("stopped", 15)
        return advance(self, first, count)

    with monkeypatch.context() as patch:
        patch.setattr(Steps, "advance", stopped)
        with pytest.raises(StoppedError):
            run(tmp_path / "run", "")
    tensorflow.profiler.experimental.start(str(tmp_path / "another"))
    tensorflow.profiler.experimental.stop(save=False)


@pytest.mark.parametrize(
    "argv, value",
    [
        ([], None),
        (["--profile"], ""),
        (["--profile="], ""),
        (["--profile=a/b"], "a/b"),
        (["--profile", "--noprofile"], None),
    ],
)
def test_the_flag_has_a_value_or_stands_alone(argv, value):
    wanted, options = parse(argv)
    assert options == Options(profile=value) and wanted == RunConfig()
