"""Table 2 and Figure 2a: the paper's numbers, their flagfiles, and what a run says of them."""

import dataclasses
from pathlib import Path

import pytest

from rethink_tf.config import flags, paper
from rethink_tf.config.run_config import RunConfig, resolve
from rethink_tf.errors import RequestError
from rethink_tf.training.recording import messages

FLAGS = Path(__file__).resolve().parents[2] / "flags"
# augmentation, dropout, weight decay, random labels; top-1 and top-5, train and test; the best two.
PRINTED = {
    "true_aug_dropout_wd": (1, 1, 1, 0, 92.18, 99.21, 77.84, 93.92, None, None),
    "true_aug": (1, 0, 0, 0, 92.33, 99.17, 72.95, 90.43, None, None),
    "true_wd": (0, 0, 1, 0, 90.60, 100.0, 67.18, 86.44, 72.57, 91.31),
    "true": (0, 0, 0, 0, 99.53, 100.0, 59.80, 80.38, 63.16, 84.49),
    "random_dropout_wd": (0, 1, 1, 1, 91.18, 97.95, 0.09, 0.49, None, None),
    "random_wd": (0, 0, 1, 1, 87.81, 96.15, 0.12, 0.50, None, None),
    "random": (0, 0, 0, 1, 95.20, 99.14, 0.11, 0.56, None, None),
}


def parsed(folder, name):
    return resolve(flags.parse([f"--flagfile={FLAGS / folder / name}.flags"])[0])


def test_the_numbers_are_the_printed_ones():
    found = {
        name: tuple(
            value if i < 4 or value is None else round(100 * value, 2)
            for i, value in enumerate(dataclasses.astuple(row))
        )
        for name, row in paper.TABLE2.items()
    }
    assert found == PRINTED


@pytest.mark.parametrize("name", PRINTED)
def test_a_flagfile_is_its_row(name):
    found, row = parsed("table2", name), paper.TABLE2[name]
    assert found == paper.table2_config(row)
    smaller = dataclasses.replace(found, examples=64, input_size=128, epochs=3, batch_size=16)
    for config in (found, resolve(smaller)):
        assert paper.table2_row(config) is row
    assert paper.table1_row(found) is None and paper.table4_row(found) is None
    augment, dropout, decay, random = PRINTED[name][:4]
    assert (found.augment == "inception", found.dropout, found.weight_decay, found.corrupt) == (
        augment,
        0.2 * dropout,
        4e-5 * decay,
        random,
    )
    text = (FLAGS / "table2" / f"{name}.flags").read_text()
    for value in PRINTED[name][4:]:
        assert value is None or f"{value:g}" in text.replace("0%", "%").replace(".%", "%")


def test_figure_2a_is_three_rows_of_table_2():
    rows = {"aug_dropout_wd": "true_aug_dropout_wd", "wd": "true_wd", "plain": "true"}
    assert {path.stem for path in (FLAGS / "figure2a").glob("*.flags")} == set(rows)
    for name, row in rows.items():
        assert parsed("figure2a", name) == paper.table2_config(paper.TABLE2[row])


def test_another_run_is_no_row():
    found = resolve(RunConfig(model="inception_v3", dataset="imagenet2012", corrupt=0.5))
    assert paper.table2_row(found) is None


def test_the_verdict_shows_both():
    config = dataclasses.replace(parsed("table2", "true_wd"), input_size=96)
    summary = {
        "status": "DONE",
        "epochs": 3,
        "train_accuracy": 0.5,
        "train_top5_accuracy": 0.75,
        "test_accuracy": 0.25,
        "test_top5_accuracy": 0.375,
        "best_test_accuracy": 0.3,
        "best_test_top5_accuracy": 0.4,
        "changed_fraction": 0.0,
        "audit": [],
        "train_examples": 1000,
    }
    assert messages.verdict(summary, config).splitlines()[1:] == [
        "  paper, Table 2, 1,281,167 examples at 299x299: train 90.60%, top-5 100.00%; "
        "test 67.18% (72.57%), top-5 86.44% (91.31%)",
        "  ours, 1,000 examples at 96x96, 3 epochs: train 50.00%, top-5 75.00%; "
        "test 25.00% (30.00%), top-5 37.50% (40.00%)",
    ]


def test_streamed_images_are_brought_to_any_size_and_augmented_their_own_way():
    kinds = {"model": "alexnet", "dataset": "imagenet2012"}
    for size in (16, 300, 1024):
        assert resolve(RunConfig(**kinds, input_size=size)).input_size == size
    assert resolve(RunConfig(**kinds, augment="inception")).augment == "inception"
    for dataset, augment, expected in (
        ("imagenet2012", "crop", "none or inception"),
        ("imagenet2012", "flip_rotate", "none or inception"),
        ("cifar10", "inception", "none, crop or flip_rotate"),
    ):
        with pytest.raises(RequestError) as error:
            resolve(RunConfig(dataset=dataset, augment=augment))
        assert str(error.value) == (
            f"--augment: expected {expected} with --dataset={dataset}, received {augment}"
        )
    with pytest.raises(RequestError, match="--input_size: expected at least 75 .*received 74"):
        resolve(RunConfig(model="inception_v3", dataset="imagenet2012", input_size=74))
    assert resolve(RunConfig(**kinds, examples=64)).examples == 64
    assert resolve(RunConfig(**kinds, examples=1_281_167)).examples is None
