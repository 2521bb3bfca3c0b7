"""Transfer from and to anyone's model and data: what is found again, what is refused."""

import re
import sys
from pathlib import Path

import class_folders
import numpy as np
import pytest
from report_runs import write_run

from rethink_tf.config import run_config
from rethink_tf.config.flags import Options
from rethink_tf.config.run_config import RunConfig, resolve, run_id
from rethink_tf.errors import ExitCode, RequestError, StorageError
from rethink_tf.runs import pretrained, results
from rethink_tf.training import input_pipeline
from rethink_tf.training import run as train

HASH = "0123456789abcdef"


def save(path, classes=7):
    names = ("x_train", "y_train", "x_test", "y_test")
    np.savez(path, **dict(zip(names, class_folders.arrays(classes), strict=True)))
    return f"npz:{path}"


def finished(folder, own, **changes):
    """A run directory that says it is finished."""
    data = {"image_shape": [12, 12, 3], "classes": 7}
    return write_run(folder, own, **{"weights_hash": HASH} | data | changes)


def child(named, **fields):
    wanted = dict.fromkeys(run_config.OF_THE_PARENT) | {"dataset": "digits"} | fields
    return resolve(pretrained.adopt(RunConfig(init_from=str(named), **wanted), "no runs"))


def test_a_parent_is_known_without_its_data(offline):
    own = resolve(RunConfig(model="mlp_1x512", dataset=save(offline / "a.npz"), epochs=3))
    folder = finished(offline / "runs", own)
    (offline / "a.npz").unlink()
    parent = pretrained.load_parent(child(folder))
    assert (parent.image_shape, parent.num_classes) == ((12, 12, 3), 7)
    assert parent.config == own and parent.config.input_size == 12
    for changes in ({"image_shape": None}, {"classes": "7"}, {"image_shape": [12, 12, -3]}):
        results.finish(folder, results.read_summary(folder) | changes)
        with pytest.raises(
            StorageError,
            match="expected image_shape and classes .*; move its folder away and train it again",
        ):
            pretrained.load_parent(child(folder))
        results.finish(
            folder, results.read_summary(folder) | {"image_shape": [12, 12, 3], "classes": 7}
        )


def test_the_moments_of_a_parent_need_its_data(offline):
    spec = save(offline / "a.npz")
    own = resolve(RunConfig(model="mlp_1x512", dataset=spec, epochs=3, preprocess="channel_norm"))
    resolved = child(finished(offline / "runs", own))
    source = input_pipeline.load(resolved)
    expected = input_pipeline.moments(class_folders.arrays()[0])
    assert np.allclose(source.norm, expected) and source.train.image_shape == (12, 12, 3)
    (offline / "a.npz").unlink()
    with pytest.raises(RequestError) as caught:
        input_pipeline.load(resolved)
    assert re.search(
        f"--init_from: expected the data of {re.escape(run_id(own))}, .*moments .*--dataset",
        str(caught.value),
    )


def test_random_weights_for_data_of_one_s_own(offline):
    fields = {"model": "mlp_1x512", "freeze": "all_but_last"}
    one, other = save(offline / "a.npz"), save(offline / "b.npz")
    found = child("random", dataset=one, **fields)
    assert child(f"random:{one}", dataset=one, **fields) == found == resolve(found)
    assert run_id(child("random", dataset=other, **fields)) == run_id(found)
    changed = save(offline / "b.npz", classes=6)
    assert run_id(child("random", dataset=changed, **fields)) != run_id(found)
    assert str(offline) not in str(run_config.identity(found)), "contents count, not paths"
    parent = pretrained.load_parent(found)
    assert (parent.image_shape, parent.num_classes, parent.config.input_size) == (
        (12, 12, 3),
        7,
        12,
    )
    assert parent.record()["run_id"] == f"random:{one}"
    with pytest.raises(RequestError, match=r"expected one of cifar10, .*, or random alone for "):
        child(f"random:{other}", dataset=one, **fields)


@pytest.fixture(scope="module")
def trained(tensorflow, tmp_path_factory):
    """Runs of functions of one's own on a drawn folder, by name: their run directories."""
    folder = tmp_path_factory.mktemp("trained")
    class_folders.write_models(folder)
    class_folders.draw(folder / "shapes")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.delitem(sys.modules, "five_lines", raising=False)
        patch.chdir(folder)
        patch.setattr(
            "rethink_tf.training.recording.samples.record_samples", lambda *_: None
        )  # seconds for each run
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield {
            name: run(RunConfig(model=f"five_lines:{name}", dataset="folder:shapes", epochs=2))[1]
            for name in ("dense", "subclassed")
        }


def run(wanted):
    own = resolve(wanted)
    run_dir = Path("runs").resolve() / run_id(own)
    return train.run(own, run_dir, options=Options(), say=lambda _: None), run_dir


def test_a_network_of_one_s_own_is_moved(trained):
    fields = {"examples": 60, "epochs": 2, "batch_size": 20, "freeze": "all_but_last"}
    resolved = child(trained["dense"], **fields)
    assert resolved.model.startswith("five_lines:dense@sha256:") and resolved.input_size == 12
    summary, folder = run(resolved)
    assert summary["parameters"] == 650, "64 x 10 and 10"
    assert summary["parent"]["run_id"] == trained["dense"].name and folder.name.startswith("dense-")
    assert summary["arrivals"] == [
        "five_lines:dense: initial weights drawn by the function; its last activation, softmax, "
        "is removed, so that it returns logits"
    ]
    own = results.read_summary(trained["dense"])
    assert (own["image_shape"], own["classes"]) == ([12, 12, 3], 7)
    assert summary["image_shape"] == [16, 16, 1] and summary["classes"] == 10


def test_one_s_own_data_are_moved_to(trained):
    fields = {"model": "mlp_1x512", "freeze": "all_but_last"}
    resolved = child("random:digits", dataset="folder:shapes", **fields)
    assert resolved.input_size == 16, "the parent's"
    source, known = input_pipeline.load(resolved), input_pipeline.info(resolved)
    assert known.image_shape == (16, 16, 3) and known.num_classes == 7
    assert source.train.image_shape == (16, 16, 1), "grey as the parent's"
    assert source.class_names[:2] == ("class_0", "class_1")
    said = input_pipeline.conversions(source, known, ["a model"])
    assert said[0] == "a model" and said[1].startswith("images of 12x12: shorter side resized")


def test_networks_that_cannot_be_moved_are_one_line(trained, refused):
    frozen = ["--dataset=digits", "--freeze=all_but_last", "--examples=60", "--epochs=1"]
    code, err = refused(f"--init_from={trained['subclassed']}", *frozen)
    assert code == ExitCode.WRONG_REQUEST
    assert "layer cannot be told" in err
    code, err = refused(f"--init_from={trained['dense']}", "--model=five_lines:plain", *frozen)
    assert code == ExitCode.WRONG_REQUEST
    assert re.search(
        "--model: .*five_lines:dense, that of the parent dense-.*received five_lines:plain", err
    )
    source = trained["dense"].parent.parent / "five_lines.py"
    kept = source.read_text()
    source.write_text(kept.replace("Dense(64", "Dense(63"))
    code, err = refused(f"--init_from={trained['dense']}", *frozen)
    source.write_text(kept)
    assert code == ExitCode.WRONG_REQUEST
    assert "--model=five_lines:dense: its content changed" in err
