"""The parent of a transfer: found, named by what it is, refused where it is not what it says."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from report_runs import write_run

from rethink_tf.config import run_config
from rethink_tf.config.parent_ref import ParentRef
from rethink_tf.config.run_config import RunConfig, resolve, run_id
from rethink_tf.errors import RequestError, StorageError
from rethink_tf.runs import checkpoint, pretrained, results

HASH = "0123456789abcdef"
KEPT = [np.arange(3, dtype=np.float32), np.ones([2, 2], np.float32)]


def own(**changes):
    fields = {"model": "mlp_1x512", "dataset": "cifar10", "epochs": 9, "preprocess": "channel_norm"}
    return resolve(RunConfig(**(fields | changes)))


def finished(runs, parent=None, **changes):
    """A run directory that says it is finished, with the weights of epoch 4 kept."""
    parent = parent or own()
    folder = write_run(runs, parent, weights_hash=HASH)
    results.finish(folder, results.read_summary(folder) | changes)
    results.save_snapshot(folder, 4, {f"{i:04d}/w": array for i, array in enumerate(KEPT)})
    return folder


def child(named, runs, **fields):
    wanted = dict.fromkeys(run_config.OF_THE_PARENT) | {"dataset": "fashion_mnist"} | fields
    return pretrained.adopt(RunConfig(init_from=str(named), **wanted), runs)


def refusal(named, runs, **fields):
    with pytest.raises(RequestError) as error:
        resolve(child(named, runs, **fields))
    return str(error.value)


def test_what_is_the_parents_is_taken_over(tmp_path):
    folder = finished(tmp_path, own(input_size=20))
    found = resolve(child(folder, "elsewhere"))
    assert (found.model, found.preprocess, found.input_size) == ("mlp_1x512", "channel_norm", 20)
    assert (found.dataset, found.epochs, found.init_epoch) == ("fashion_mnist", 150, 9)
    assert run_config.parent_ref(found) == ParentRef(str(folder), folder.name, 9, HASH)
    assert resolve(found) == found == resolve(pretrained.adopt(found, "elsewhere"))
    parent = pretrained.load_parent(found)
    assert parent.config == own(input_size=20) and parent.image_shape == (32, 32, 3)
    assert parent.record() == {"run_id": folder.name, "epoch": 9, "weights_hash": HASH}


def test_a_parent_counts_by_what_it_is_and_not_by_where_it_lies(tmp_path):
    one, other = finished(tmp_path / "a"), finished(tmp_path / "b")
    named = [resolve(child(*how)) for how in ((one, "x"), (one.name, tmp_path / "b"), (other, "x"))]
    assert len({run_id(found) for found in named}) == 1
    assert named[0].init_from != named[2].init_from
    retrained = finished(tmp_path / "c", weights_hash="f" * 16)
    frozen = resolve(child(one, "x", freeze="all_but_last"))
    early = resolve(child(one, "x", init_epoch=4))
    assert run_id(early) == run_id(resolve(child(other, "x", init_epoch=4)))
    last = resolve(child(one, "x", init_epoch=9))
    assert last == named[0], "the end, named or not"
    others = [resolve(child(retrained, "x")), frozen, early, named[0]]
    assert len({run_id(found) for found in others}) == 4


def test_frozen_run_ids(tmp_path):
    folder = finished(tmp_path)
    assert folder.name == "mlp_1x512-f042bc0a0edb"
    found = resolve(child(folder, "x", freeze="all_but_last"))
    assert run_config.identity(found)["init_from"] == f"{folder.name}:9:{HASH}"
    # A changed id here means that no transfer of before is found again.
    assert run_id(found) == "mlp_1x512-da4018f51405"


def test_a_snapshot_is_named_by_its_own_weights(tmp_path):
    folder = finished(tmp_path)
    found = resolve(child(folder, "x", init_epoch=4))
    known = checkpoint.weights_hash(KEPT)
    assert run_config.parent_ref(found) == ParentRef(str(folder), folder.name, 4, known)
    assert known != checkpoint.weights_hash(KEPT[::-1]) and len(known) == 16
    assert pretrained.load_parent(found).epoch == 4


def test_a_missing_epoch_says_which_there_are(tmp_path):
    message = refusal(finished(tmp_path), "x", init_epoch=5)
    assert message.startswith("--init_epoch: expected one of 4, 9, the kept epochs of mlp_1x512-")
    assert re.search("one of 4, 9, .*received 5; .*--keep_epochs=5", message)


def test_a_flagfile_names_the_run_that_it_trains(tmp_path):
    file = tmp_path / "parent.flags"
    file.write_text("# A parent.\n--model=mlp_1x512\n--dataset=cifar10\n--epochs=9\n")
    parent = own(preprocess="standardise")
    message = refusal(file, tmp_path / "runs")
    assert re.search(
        f"{re.escape(str(tmp_path))}/runs/{re.escape(str(run_id(parent)))}; train it first: ",
        message,
    )
    command = f"python -m rethink_tf.main --flagfile={file}"
    assert message.endswith(f"{command} --runs_dir={tmp_path}/runs")
    assert refusal(file, "runs").endswith(command)
    folder = finished(tmp_path / "runs", parent)
    assert resolve(child(file, tmp_path / "runs")) == resolve(child(folder, "x"))
    file.write_text("--model=mlp_1x512\n")
    assert "--dataset: expected one of" in refusal(file, "runs")
    assert refusal(tmp_path / "no.flags", "runs").startswith(f"--init_from={tmp_path}/no.flags: ")


def test_what_is_no_parent_is_refused(tmp_path):
    message = refusal("runs/none", tmp_path)
    assert re.search("--init_from: .*run id below .*received runs/none", message)
    assert message.endswith("received runs/none")
    (tmp_path / "begun").mkdir()
    message = f"there is no finished run in {tmp_path}/begun; let it finish first"
    assert refusal("begun", tmp_path).endswith(message)
    failed = finished(tmp_path, own(seed=1), status="INVALID", reason="so")
    assert refusal(failed, "x").endswith(f"ended DONE, {failed} ended INVALID")
    other = finished(tmp_path, own(seed=2))
    record, summary = results.read_config(other), results.read_summary(other)
    for values in (record, summary):
        values["config"]["no_field"] = 1
    results.write_config(other, record)
    results.finish(other, summary)
    assert "to this version: no_field" in str(refusal(other, "x"))
    with pytest.raises(StorageError, match="expected a config"):
        child(finished(tmp_path, own(seed=3), config=None), "x")
    grandchild = finished(tmp_path, resolve(child(finished(tmp_path), "x")))
    assert refusal(grandchild, "x").endswith("is itself transferred")


@pytest.mark.parametrize(
    "name, line",
    [
        (
            "weights_hash",
            "{folder}: damaged: expected text in weights_hash of its summary, found {v};",
        ),
        ("epochs", "{folder}/"),
        ("run_id", "{folder}/summary.json: "),
    ],
)
@pytest.mark.parametrize("value", [None, 1.5, ["x"]])
def test_a_summary_that_does_not_name_the_weights_is_one_line(name, line, value, tmp_path):
    folder = finished(tmp_path, **{name: value})
    line = line.format(folder=folder, v=value)
    with pytest.raises(StorageError) as error:
        child(folder, "x")
    assert str(error.value).startswith(line) and "\n" not in str(error.value)
    wanted = RunConfig(dataset="fashion_mnist", **dict.fromkeys(run_config.OF_THE_PARENT))
    later, why = pretrained.adopt_later(wanted, own(), folder)
    assert why.startswith(line) and later.init_from.endswith(":9:open")


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"model": "alexnet"}, "--model: expected mlp_1x512, that of the parent mlp_1x512-"),
        ({"preprocess": "standardise"}, "--preprocess: expected channel_norm, that of the "),
        ({"input_size": 24}, "--input_size: expected 28, that of the parent "),
        ({"init_epoch": 0}, "--init_epoch: .*at least 1, received 0"),
        ({"freeze": "some"}, "--freeze: expected one of none, all_but_last; received some"),
        (
            {"freeze": "all_but_last", "augment": "flip_rotate"},
            r"--augment: expected none with --freeze=all_but_last .*received flip_rotate",
        ),
        (
            {"freeze": "all_but_last", "dropout": 0.5},
            r"--dropout: expected 0\.0 with --freeze=all_but_last .*received 0\.5",
        ),
        (
            {"freeze": "all_but_last", "precision": "mixed_bfloat16"},
            r"--precision: expected float32 with --freeze=all_but_last \(the features ",
        ),
    ],
)
def test_what_contradicts_the_parent_is_refused(fields, message, tmp_path):
    assert re.search(message, refusal(finished(tmp_path), "x", **fields))


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"freeze": "all_but_last"}, r"--freeze: expected --init_from=RUN with it \(or "),
        ({"init_epoch": 3}, r"--init_epoch: expected --init_from=RUN with it \(or "),
        ({"init_from": "random"}, "--init_from=random: expected --freeze=all_but_last with it; "),
        (
            {"init_from": "random:svhn", "freeze": "all_but_last"},
            "--init_from=random:DATASET: expected one of cifar10, ",
        ),
        (
            {"init_from": "random", "freeze": "all_but_last", "init_epoch": 1},
            "--init_epoch: expected none with --init_from=random, received 1",
        ),
        ({"init_from": "runs/x"}, "--init_from: .*run id, .*received runs/x"),
    ],
)
def test_half_a_transfer_is_refused(fields, message):
    with pytest.raises(RequestError) as error:
        resolve(RunConfig(dataset="digits", **fields))
    assert re.search(message, str(error.value))


def test_random_weights_have_the_childs_network():
    found = resolve(child("random", "x", freeze="all_but_last"))
    assert (found.model, found.init_from) == ("inception", "random:fashion_mnist")
    fields = {"freeze": "all_but_last", "model": "alexnet", "dataset": "digits"}
    found = resolve(child("random:cifar10", "x", **fields))
    assert (found.model, found.input_size, found.preprocess) == ("alexnet", 28, "standardise")
    parent = pretrained.load_parent(found)
    assert (parent.image_shape, parent.run_dir) == ((32, 32, 3), None)
    assert parent.record() == {"run_id": "random:cifar10", "epoch": 0, "weights_hash": None}
    assert run_config.identity(found)["init_from"] == "random:cifar10"
    assert run_id(found) != run_id(resolve(child("random", "x", **fields)))
    assert run_id(found) != run_id(dataclasses.replace(found, seed=1))


def test_a_parent_in_words(tmp_path):
    folder = finished(tmp_path)
    early = resolve(child(folder, "x", init_epoch=4))
    assert pretrained.parent_in_words(early) == [f"from {folder.name} after epoch 4, fine-tuned"]
    drawn = resolve(child("random:cifar10", "x", freeze="all_but_last"))
    assert pretrained.parent_in_words(drawn) == ["random weights, last layer only"]
    assert pretrained.parent_in_words(own()) == []


def test_an_ordinary_run_has_no_parent(tmp_path):
    plain = RunConfig(dataset="digits")
    assert pretrained.adopt(plain, tmp_path) is plain
    assert pretrained.load_parent(resolve(plain)) is None
    assert not {"init_from", "init_epoch", "freeze"} & set(run_config.identity(resolve(plain)))


def test_a_parent_that_was_exchanged_is_refused(tmp_path):
    folder = finished(tmp_path)
    found = resolve(child(folder, "x"))
    other = finished(tmp_path / "others", own(seed=1))
    folder.rename(tmp_path / "before")
    other.rename(folder)
    with pytest.raises(StorageError, match=f"expected {folder.name}, found {other.name}"):
        pretrained.load_parent(found)
    (folder / Path(results.SUMMARY)).unlink()
    with pytest.raises(RequestError, match="expected the finished run mlp_1x512-"):
        pretrained.load_parent(found)


def test_without_weights_there_is_no_transfer(tmp_path):
    folder, said = finished(tmp_path), []
    parent = pretrained.load_parent(resolve(child(folder, "x")))
    header = {"epoch": 8, "step": 0}
    checkpoint.save(folder / results.CHECKPOINTS, header, {"weight0000": KEPT[0]})
    with pytest.raises(RequestError, match="of epoch 9 in .*; move its folder away and train it"):
        pretrained.stored(parent, said.append)
    arrays = {"weight0001": KEPT[1], "weight0000": KEPT[0], "local0000": np.array([[5], [6]])}
    path = checkpoint.save(folder / results.CHECKPOINTS, {"epoch": 9, "step": 0}, arrays)
    stored = pretrained.stored(parent, said.append)
    assert [a.tolist() for a in stored["trainable"]] == [a.tolist() for a in KEPT]
    assert [a.tolist() for a in stored["others"]] == [[5]]
    results.save_snapshot(folder, 9, {"0000/w": KEPT[1]})
    path.write_bytes(path.read_bytes()[:-1])
    assert [a.tolist() for a in pretrained.stored(parent, said.append)["all"]] == [KEPT[1].tolist()]
    assert len(said) == 1 and "damaged" in said[0]
    early = pretrained.load_parent(resolve(child(folder, "x", init_epoch=4)))
    (folder / results.SNAPSHOTS / "epoch-000004.npz").write_bytes(b"PK damaged")
    with pytest.raises(StorageError, match="epoch-000004.npz: a damaged snapshot"):
        pretrained.stored(early, said.append)
    with pytest.raises(StorageError, match="a damaged snapshot"):
        child(folder, "x", init_epoch=4)
