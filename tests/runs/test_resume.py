"""Where a run goes on, what it refuses, and what it says of itself afterwards."""

import dataclasses
import re
import signal

import numpy as np
import pytest
from report_runs import write_run
from short_runs import ARRAYS, ENVIRONMENT, header, save, signal_after, timeless

from rethink_tf.config import run_config
from rethink_tf.config.flags import Options
from rethink_tf.config.run_config import RunConfig
from rethink_tf.config.schedule import learning_rate
from rethink_tf.errors import RequestError, StorageError
from rethink_tf.runs import checkpoint, results, resume
from rethink_tf.storage import files
from rethink_tf.training import run as train
from rethink_tf.training.devices import setup as devices
from rethink_tf.training.per_example import Record
from rethink_tf.training.preemption import StoppedError

pytestmark = pytest.mark.usefixtures("light_runs")


def resolved(**changes):
    kinds = {"model": "mlp_1x512", "dataset": "digits", "examples": 200, "epochs": 2}
    return run_config.resolve(RunConfig(**(kinds | {"corrupt": 0.5} | changes)))


def find(run_dir, mode="exact", wanted=None, said=None, **changes):
    say = [].append if said is None else said.append
    return resume.resume_point(wanted or resolved(), run_dir, ENVIRONMENT | changes, mode, say)


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"threads": 4}, "threads was 2 and is 4"),
        ({"xla": False}, "xla was True and is False"),
        ({"replicas": 2}, "replicas was 1 and is 2"),
        ({"versions": {"tensorflow": "2.21", "numpy": "2.0"}}, "tensorflow was 2.20 and is 2.21"),
        ({"versions": {"tensorflow": "2.20"}}, "numpy was 2.0 and is None"),
    ],
)
def test_another_environment_is_refused_and_can_be_allowed(changes, said, tmp_path):
    results.start(tmp_path, {})
    save(tmp_path / results.CHECKPOINTS, 1, 3)
    assert find(tmp_path).header == header(1, 3)
    with pytest.raises(RequestError) as refused:
        find(tmp_path, **changes)
    message = str(refused.value)
    assert re.search(
        f"{re.escape(str(tmp_path))}: .*exactly: {re.escape(said)}; add --resume=anyway", message
    )
    assert "--resume=anyway" in message and "--resume=restart" in message and "\n" not in message
    found = find(tmp_path, "anyway", **changes)
    assert (found.header, found.run_dir) == (header(1, 3), tmp_path)
    np.testing.assert_array_equal(found.arrays["weight0000"], ARRAYS["weight0000"])
    assert find(tmp_path, "restart") is find(tmp_path, "restart", **changes) is None


def test_other_labels_are_refused_whatever_is_typed_but_restart(tmp_path):
    results.start(tmp_path, {})
    save(tmp_path / results.CHECKPOINTS, 1, 3)
    for mode in ("exact", "anyway"):
        with pytest.raises(RequestError, match="for abc; add --resume=restart"):
            find(tmp_path, mode, labels_hash="xyz")
    assert find(tmp_path, "restart", labels_hash="xyz") is None


def test_an_unfinished_run_without_a_checkpoint_starts_over(tmp_path):
    said = []
    assert find(tmp_path, said=said) is None and said == []
    results.start(tmp_path, {})
    assert find(tmp_path, said=said) is None
    assert said == [f"{tmp_path}: an unfinished run without a checkpoint lies here; it starts over"]


def test_the_history_is_cut_to_the_checkpoint_and_must_reach_it(tmp_path):
    results.start(tmp_path, {})
    save(tmp_path / results.CHECKPOINTS, 2)
    found = find(tmp_path)
    results.append_history(tmp_path, {"epoch": 1})
    with pytest.raises(StorageError, match="expected 2 epochs .*found 1; add --resume=restart"):
        resume.begin(tmp_path, {}, found, {"argv": ["a"]})
    for epoch in (2, 3):
        results.append_history(tmp_path, {"epoch": epoch})
    assert resume.begin(tmp_path, {}, found, {"argv": ["b"]}) == [{"epoch": 1}, {"epoch": 2}]
    where = {"epoch": 2, "step": 0, "from": tmp_path.name}
    assert results.read_config(tmp_path)["resumed"] == [where | {"argv": ["b"]}]
    assert results.read_history(tmp_path) == [{"epoch": 1}, {"epoch": 2}]


def finished(runs_dir, **changes):
    """A finished run beside others, with its last checkpoint; returns its folder."""
    wanted = resolved(**changes)
    folder = write_run(runs_dir, wanted)
    save(folder / results.CHECKPOINTS, wanted.epochs)
    return folder


def new_run(runs_dir, wanted):
    """An unfinished run without a checkpoint: no reason to start over."""
    run_dir = runs_dir / run_config.run_id(wanted)
    run_dir.mkdir()
    results.start(run_dir, {})
    return run_dir


def test_the_longest_shorter_run_of_equal_settings_is_taken(tmp_path):
    others = {"a": {"epochs": 4}, "b": {"epochs": 6}, "c": {"epochs": 8, "seed": 1}}
    others |= {"d": {"epochs": 7, "corrupt": 0.4}, "e": {"epochs": 12}, "f": {"epochs": 9}}
    folders = {k: finished(tmp_path, eval_every=2, **v) for k, v in others.items()}
    (tmp_path / "mlp_1x512-damaged").mkdir()
    (tmp_path / "mlp_1x512-damaged" / results.SUMMARY).write_text("{")
    wanted, said = resolved(epochs=10, eval_every=2), []
    run_dir = new_run(tmp_path, wanted)
    found = find(run_dir, wanted=wanted, said=said)
    # Epoch 9 of f was evaluated as its last, which a fresh run of 10 would not do.
    assert (found.run_dir, found.header["epoch"]) == (folders["b"], 6)
    assert said == [f"{folders['b']}: the same run with 6 epochs; this one resumes from it"]
    assert find(run_dir, wanted=wanted, said=said, threads=4) is None
    assert re.search(
        f"{re.escape(str(folders['b']))}: not continued, .*threads was 2 and is 4", said[-1]
    )
    # A fresh run could not equal one that was not exact itself.
    inexact = header(6) | {"differed": ["after epoch 2, step 0 of the next: xla was on"]}
    checkpoint.save(found.run_dir / results.CHECKPOINTS, inexact, ARRAYS)
    assert find(run_dir, wanted=wanted, said=said) is None
    assert re.search("not continued, .*epoch 2, step 0 .*xla was on", said[-1])


def edited_summary(folder):
    path = folder / results.SUMMARY
    path.write_text(path.read_text().replace('"status": "INVALID"', '"status": "DONE"'))


def edited_history(folder):
    path = folder / results.HISTORY
    path.write_text(path.read_text().replace('"loss": ', '"loss": 1', 1))


def lost_history(folder):
    (folder / results.HISTORY).unlink()


@pytest.mark.parametrize("change", [edited_summary, edited_history, lost_history])
def test_a_shorter_run_whose_files_do_not_agree_is_named_and_not_used(change, tmp_path):
    short = finished(tmp_path, epochs=2)
    wanted = resolved(epochs=6)
    status = "INVALID" if change is edited_summary else "DONE"
    long = write_run(tmp_path, resolved(epochs=4), status=status)
    save(long / results.CHECKPOINTS, 4)
    run_dir, said = new_run(tmp_path, wanted), []
    assert find(run_dir, wanted=wanted).run_dir == (long if status == "DONE" else short)
    change(long)
    assert find(run_dir, wanted=wanted, said=said).run_dir == short
    assert len(said) == 2 and str(long) in said[0] and str(short) in said[1]


def test_a_shorter_run_of_an_older_version_is_taken(tmp_path):
    """Its configuration lacks the fields that came later, and its summary the digests."""
    folder, wanted = finished(tmp_path, epochs=4), resolved(epochs=6)
    for name in (results.CONFIG, results.SUMMARY):
        content = files.read_json(folder / name)
        for later in ("held_out", "test_pixels"):
            del content["config"][later]
        content.pop("sha256", None)
        files.write_json(folder / name, content)
    run_dir = new_run(tmp_path, wanted)
    assert find(run_dir, wanted=wanted).run_dir == folder
    assert find(run_dir, wanted=resolved(epochs=6, held_out=5)) is None


def test_a_shorter_run_at_a_cosine_is_not_continued(tmp_path):
    """Its learning rates fell to the end of a shorter run: none of them is the longer run's."""
    short = finished(tmp_path, epochs=2, lr_schedule="cosine")
    wanted, said = resolved(epochs=4, lr_schedule="cosine"), []
    rates = [
        learning_rate(run_config.from_dict(c["config"]), 2)
        for c in (results.read_config(short), {"config": dataclasses.asdict(wanted)})
    ]
    assert rates[0] != rates[1]
    run_dir = new_run(tmp_path, wanted)
    assert find(run_dir, wanted=wanted, said=said) is None
    assert not [line for line in said if "resumes from it" in line]


# Real runs


def run(run_dir, said=None, keep_epochs=(), resume="exact", **changes):
    say = [].append if said is None else said.append
    options = Options(checkpoint_every=1, keep_epochs=keep_epochs, resume=resume)
    return train.run(resolved(**changes), run_dir, options=options, say=say)


def test_more_epochs_go_on_from_the_shorter_run(tensorflow, tmp_path):
    fresh, said = tmp_path / "fresh" / "mlp_1x512-4", []
    run(fresh, epochs=4)
    short, long = tmp_path / "mlp_1x512-2", tmp_path / "mlp_1x512-4"
    run(short, epochs=2)
    kept = timeless(short)
    summary = run(long, said, epochs=4)
    assert re.search(
        f"{re.escape(str(short))}: the same run with 2 epochs; .*resumes from it", "\n".join(said)
    )
    assert "resumes after epoch 2, step 0 of the next" in said
    assert timeless(long) == timeless(fresh)
    assert summary["epochs"] == 4 and summary["weights_hash"] != kept[-1]["weights_hash"]
    arrays = [dict(np.load(folder / results.EXAMPLES)) for folder in (long, fresh)]
    assert {"given", "margin", "aum", "variability", "el2n_1", "el2n_2"} < set(arrays[0])
    for name, values in arrays[1].items():
        np.testing.assert_array_equal(arrays[0][name], values, name)
    assert timeless(short) == kept, "the shorter run stays as it was"


def test_an_older_checkpoint_without_training_dynamics_is_resumed(tensorflow, tmp_path):
    short, long = tmp_path / "mlp_1x512-2", tmp_path / "mlp_1x512-4"
    run(short, epochs=2)
    head, arrays = checkpoint.newest(short / results.CHECKPOINTS, print)
    newer = set(Record(1).arrays()) - set(Record.ARRAYS)
    assert newer < set(arrays)
    older = {name: array for name, array in arrays.items() if name not in newer}
    checkpoint.save(short / results.CHECKPOINTS, head, older)
    run(long, epochs=4)
    epochs, complete = results.read_examples_grid(long)
    assert epochs.tolist() == [3, 4] and not complete
    assert results.read_examples(long)["first_fitted"].max() >= 3


def test_what_went_on_in_a_changed_environment_says_so_for_ever(tensorflow, tmp_path, monkeypatch):
    run_dir, said, describe = tmp_path / "run", [], devices.describe

    def stopped(after, mode="exact"):
        with monkeypatch.context() as patch, pytest.raises(StoppedError):
            signal_after(patch, after, signal.SIGTERM)
            run(run_dir, resume=mode, epochs=3)

    stopped(7 + 3)  # 200 examples in batches of 32: seven steps an epoch
    other = describe()
    numpy, other["versions"]["numpy"] = other["versions"]["numpy"], "9.9"
    monkeypatch.setattr(devices, "describe", lambda: other)
    with pytest.raises(RequestError, match=f"numpy was {numpy} and is 9.9; add --resume=anyway"):
        run(run_dir, epochs=3)
    stopped(2, "anyway")
    stopped(4)  # exact from here on
    summary = run(run_dir, said, epochs=3)
    differed = [f"after epoch 1, step 3 of the next: numpy was {numpy} and is 9.9"]
    assert (summary["exact"], summary["differed"]) == (False, differed)
    assert results.read_summary(run_dir)["differed"] == differed
    closing = "an uninterrupted run may end otherwise: it was resumed with --resume=anyway "
    assert f"\n  not exact, {closing}{differed[0]}\n{run_dir}" in said[-1]
    again = []
    run(run_dir, again, epochs=3)
    assert again[-1] == said[-1], "a finished run says it too"
    # Nothing really differed here, so all else is as it is without a stop.
    monkeypatch.undo()
    whole = run(tmp_path / "whole", said, epochs=3)
    assert (whole["exact"], whole["differed"]) == (True, []) and "not exact" not in said[-1]
    pairs = zip(timeless(run_dir), timeless(tmp_path / "whole"), strict=True)
    names = [{n for n in one if one[n] != other[n]} for one, other in pairs]
    assert names == [set(), set(), set(), {"exact", "differed"}]


@pytest.fixture(scope="module")
def resumed(tensorflow, tmp_path_factory):
    """A run stopped after step 3 of epoch 2 and continued with other --keep_epochs: its folder,
    what it said, then what it says when it is finished."""
    run_dir, said = tmp_path_factory.mktemp("resumed") / "run", ([], [])
    with pytest.MonkeyPatch.context() as patch, pytest.raises(StoppedError):
        signal_after(patch, 7 + 3, signal.SIGTERM)
        run(run_dir, epochs=4, keep_epochs=(1,))
    with pytest.MonkeyPatch.context() as patch:
        signal_after(patch, 0, signal.SIGTERM)  # a step a dispatch: an estimate after the second
        run(run_dir, said[0], epochs=4, keep_epochs=(1, 2))
    run(run_dir, said[1], epochs=4, keep_epochs=(1, 2, 3, 4))
    return run_dir, *said


def test_epochs_to_keep_that_are_passed_already_are_said_in_one_line(resumed, tmp_path):
    run_dir, said, finished = resumed
    kept = sorted(path.name for path in (run_dir / results.SNAPSHOTS).iterdir())
    assert kept == ["epoch-000001.npz", "epoch-000002.npz"]
    assert not [line for line in said if "--keep_epochs" in line], "epoch 1 is kept already"
    passed = "--keep_epochs: passed already, so their weights are not kept: epochs 3, 4"
    assert [line for line in finished if "--keep_epochs" in line] == [passed]
    lines = []
    (run_dir / results.SUMMARY).rename(tmp_path / "aside")  # killed before its summary
    run(run_dir, lines, epochs=4, keep_epochs=(3,))
    passed = "--keep_epochs: passed already, so their weights are not kept: epoch 3"
    assert [line for line in lines if "--keep_epochs" in line] == [passed]


def test_a_resumed_run_counts_what_was_left_of_it(resumed):
    run_dir, said, _ = resumed
    images = [
        line["timing"]["images_per_second"] * line["timing"]["train_seconds"]
        for line in results.read_history(run_dir)
    ]
    assert images[2:] == pytest.approx([200, 200])
    # The first step of each process compiles, and its time counts for no speed.
    assert images[0] >= 200 - 32 and images[1] >= 200 - 4 * 32
    estimates = [re.match(r"about (.*), at \d+ images/s", line) for line in said]
    (found,) = [match[1] for match in estimates if match]
    assert found.endswith(" for what is left")
