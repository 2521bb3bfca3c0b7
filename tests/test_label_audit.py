"""The stand-alone audit names planted defects, and honest noise for what it is."""

import subprocess
import sys

import numpy as np
import pytest

from rethink_tf import audit, label_audit
from rethink_tf.corruptions import corrupt_labels
from rethink_tf.errors import RequestError
from rethink_tf.main import guarded

SIZES = [(2000, 10), (50_000, 10), (5000, 100)]


def true_labels(n, k, seed=0):
    return np.random.default_rng(seed).integers(0, k, n)


def noisy(true, p, k, seed=0, noise="uniform"):
    return corrupt_labels(
        true, np.arange(len(true)), probability=p, num_classes=k, seed=seed, noise=noise
    )


def renamed(true, k, rng):
    return np.roll(np.arange(k), int(rng.integers(2, k - 1)))[true]


def in_batches(true, rng, size=128):
    starts = range(0, len(true), size)
    return np.concatenate([rng.permutation(true[i : i + size]) for i in starts])


def one_dropped(true, rng):
    place = int(rng.integers(len(true) // 2))
    return np.append(np.delete(true, place), 0)


def asymmetric(true, k, rng):
    to = np.arange(k)
    to[[9, 2, 4, 3, 5]] = 1, 0, 7, 5, 3  # the usual one of CIFAR-10
    return np.where(rng.random(len(true)) < 0.4, to[true], true)


PLANTED = [
    # kind, a word its sentence must have, given labels from (true, K, generator, seed)
    ("untouched", "untouched", lambda t, k, r, s: t.copy()),
    ("renamed", "renamed", lambda t, k, r, s: renamed(t, k, r)),
    ("renamed", "share of 0.", lambda t, k, r, s: np.where(r.random(len(t)) < 0.4,
                                                           renamed(t, k, r), t)),
    ("permuted", "every class count is kept", lambda t, k, r, s: r.permutation(t)),
    ("permuted", "sorted", lambda t, k, r, s: np.sort(t)),
    ("permuted_in_batches", "batches of 128", lambda t, k, r, s: in_batches(t, r)),
    ("permuted_in_batches", "batches of 50", lambda t, k, r, s: in_batches(t, r, 50)),
    ("exclude_true", "excluded at p about 1.00",
     lambda t, k, r, s: noisy(t, 1.0, k, s, "exclude_true")),
    ("pair_flip", "p about 1.00", lambda t, k, r, s: noisy(t, 1.0, k, s, "pair_flip")),
    ("pair_flip", "p about 0.", lambda t, k, r, s: noisy(t, 0.3, k, s, "pair_flip")),
    ("shifted", "1 position before", lambda t, k, r, s: np.roll(t, 1)),
    ("shifted", "64 positions after", lambda t, k, r, s: np.roll(t, -64)),
    ("shifted", "from position", lambda t, k, r, s: one_dropped(t, r)),
    ("shifted", "1 position before", lambda t, k, r, s: noisy(np.roll(t, 1), 0.5, k, s)),
    ("constant", "class 3", lambda t, k, r, s: np.full_like(t, 3)),
    ("asymmetric", "9 -> 1", lambda t, k, r, s: asymmetric(t, k, r)),
    ("asymmetric", "merges", lambda t, k, r, s: t // 2),
    ("class_dependent", "rates from",
     lambda t, k, r, s: np.where(t < k // 2, noisy(t, 0.8, k, s), noisy(t, 0.2, k, s))),
    ("uniform", "true class included", lambda t, k, r, s: noisy(t, 0.1, k, s)),
    ("uniform", "true class included", lambda t, k, r, s: noisy(t, 0.5, k, s)),
    ("uniform", "or equally", lambda t, k, r, s: noisy(t, 1.0, k, s)),
]  # fmt: skip


@pytest.mark.parametrize("n, k", SIZES)
@pytest.mark.parametrize("kind, word, plant", PLANTED)
def test_planted_labels_are_named_whatever_the_seed(kind, word, plant, n, k):
    for seed in range(5 if n == 50_000 else 20):
        rng, true = np.random.default_rng([seed, n]), true_labels(n, k, seed)
        verdict = audit.labels(true, plant(true, k, rng, seed), num_classes=k)
        assert verdict.kind == kind, verdict.words
        assert word in verdict.words
        assert verdict.kind in label_audit.KINDS and verdict.ok is None
        if kind != "uniform":
            asked = audit.labels(true, plant(true, k, rng, seed), num_classes=k, p=1.0)
            assert asked.ok is False and asked.words.startswith("Asked for uniform at p = 1.00")


def test_redrawn_labels_are_named_and_the_first_pass_described():
    true = true_labels(50_000, 10)
    verdict = audit.labels(true, noisy(true, 0.5, 10), again=noisy(true, 0.5, 10, seed=1), p=0.5)
    assert verdict.kind == "redrawn" and verdict.ok is False
    assert "uniform at p about 0.50" in verdict.words
    assert verdict.figures["differ_fraction"] == pytest.approx(0.675, abs=0.02)
    same = audit.labels(true, noisy(true, 0.5, 10), again=noisy(true, 0.5, 10), p=0.5)
    assert same.kind == "uniform" and same.ok is True
    order = np.random.default_rng(0).permutation(50_000)
    assert "only their order differs" in audit.labels(true, true, again=true[order]).words


def test_uniform_noise_is_estimated_and_judged():
    true = true_labels(50_000, 10)
    given = noisy(true, 0.5, 10)
    verdict = audit.labels(true, given, p=0.5)
    assert verdict.ok is True and verdict.kind == "uniform"
    assert verdict.figures["p_low"] < 0.5 < verdict.figures["p_high"]
    assert verdict.figures["changed"] == int((given != true).sum())
    assert str(verdict).startswith("uniform - as asked for\nAs asked for, ")
    refused = audit.labels(true, given, p=0.9)
    assert refused.ok is False and "Asked for uniform at p = 0.90, but" in refused.words


def test_no_honest_noise_is_refused():
    for seed in range(20):
        for n, k in [(2000, 10), (5000, 100), (3000, 2), (40, 10)]:
            for noise in ("uniform", "exclude_true", "pair_flip"):
                for p in (0.0, 0.3, 0.9, 1.0):
                    true = true_labels(n, k, seed)
                    given = noisy(true, p, k, seed, noise)
                    verdict = audit.labels(true, given, p=p, noise=noise, num_classes=k)
                    assert verdict.ok is True, (n, k, noise, p, str(verdict))


def test_excluding_the_true_class_is_uniform_noise_by_another_name():
    true = true_labels(50_000, 10)
    given = noisy(true, 1.0, 10)
    assert "excluded at p about 0.90" in audit.labels(true, given).words
    verdict = audit.labels(true, given, p=0.9, noise="exclude_true")
    assert verdict.kind == "exclude_true" and verdict.ok is True
    assert "uniform at p about 1.00" in verdict.words


@pytest.mark.parametrize(
    "given, hint",
    [
        (lambda t: t, "the corruption never reached them"),
        (lambda t: noisy(t, 0.5, 10, 0, "exclude_true"), "the true class excluded at the same p"),
        (lambda t: noisy(t, 1 - np.exp(-0.5), 10), "drawn with replacement"),
        (lambda t: noisy(noisy(t, 0.5, 10), 0.5, 10, 1), "applied twice"),
    ],
)
def test_a_known_mistake_is_suggested(given, hint):
    true = true_labels(50_000, 10)
    verdict = audit.labels(true, given(true), p=0.5)
    assert verdict.ok is False and hint in verdict.words


def test_numbers_counted_from_one_are_renamed():
    true = true_labels(2000, 10)
    assert "greater by one" in audit.labels(true, true + 1).words


def test_batches_and_shifts_are_found_in_the_order_of_the_index():
    rng, true = np.random.default_rng(3), true_labels(5000, 10)
    order = rng.permutation(5000)
    for given, kind in ((in_batches(true, rng), "permuted_in_batches"),
                        (np.roll(true, 2), "shifted")):  # fmt: skip
        assert audit.labels(true[order], given[order]).kind == "permuted"
        verdict = audit.labels(true[order], given[order], index=order)
        assert verdict.kind == kind and "in order of index" in verdict.words


class Tensor:
    """As PyTorch's on the CPU: not a NumPy array, but has `__array__`."""

    def __init__(self, values):
        self.values = np.asarray(values)

    def __array__(self, dtype=None, copy=None):
        return self.values if dtype is None else self.values.astype(dtype)

    def __len__(self):
        return len(self.values)

    def __iter__(self):
        return (Tensor(value) for value in self.values)


def split(values, size=128):
    return [values[i : i + size] for i in range(0, len(values), size)]


@pytest.mark.parametrize(
    "form",
    [
        list,
        tuple,
        Tensor,
        lambda x: x[:, None],
        lambda x: x.astype(np.uint8),
        lambda x: x.astype(np.float32),
        lambda x: np.eye(10, dtype=np.float32)[x],
        lambda x: Tensor(np.eye(10)[x]),
        lambda x: np.eye(10, dtype=int)[x].tolist(),
        split,
        lambda x: iter(x),
        lambda x: (Tensor(b) for b in split(x)),
        lambda x: split(np.eye(10)[x]),
        lambda x: ((Tensor(np.zeros((len(b), 2, 2))), Tensor(b)) for b in split(x)),
        lambda x: [[np.zeros((len(b), 2, 2)), b] for b in split(x)],
        lambda x: (b.tolist() for b in split(x)),
    ],
)
def test_anyones_arrays_and_batches(form):
    true = true_labels(2000, 10)
    given = noisy(true, 0.5, 10)
    expected = audit.labels(true, given)
    assert audit.labels(true, form(given)).figures == expected.figures
    assert audit.labels(form(true), given).figures == expected.figures


@pytest.mark.parametrize(
    "true, given, options, message",
    [
        ([0, 1], [0], {}, "given: expected 2 as in true, received 1"),
        ([], [], {}, "received none"),
        ([0, 1], [0, 1.5], {}, "found 1.5 at position 1"),
        ([0, 1], [0, np.nan], {}, "found nan at position 1"),
        ([0, 1], [0, -1], {}, "found -1"),
        ([0, 1], [0, 2], {"num_classes": 2}, "expected classes 0 to 1, found 2"),
        ([0, 1], [0, 70_000], {}, "are these identities?"),
        ([0, 1], ["cat", "dog"], {}, "expected whole numbers"),
        ([0, 1], [None, 1], {}, "expected whole numbers"),
        ([0, 1], [[0, 1], [1]], {}, "an array cannot be made"),
        ([0, 1], [[0.5, 0.5], [0, 1]], {}, "one-hot"),
        ([0, 1], np.zeros((2, 2, 2)), {}, "received shape"),
        ([0, 1], 3, {}, "received int"),
        ([0, 1], np.int64(3), {}, "received shape"),
        ([0, 1], {"label": [0, 1]}, {}, "expected whole numbers"),
        ([0, 1], [0, 1], {"p": 1.5}, "p: expected"),
        ([0, 1], [0, 1], {"p": float("nan")}, "p: expected"),
        ([0, 1], [0, 1], {"p": "half"}, "p: expected"),
        ([0, 1], [0, 1], {"p": 1, "noise": "salt"}, "noise: expected one of"),
        ([0, 1], [0, 1], {"noise": "pair_flip"}, "expected a p with it"),
        ([0, 1], [0, 1], {"num_classes": 1}, "num_classes: expected"),
        ([0, 1], [0, 1], {"index": [5, 5]}, "each once"),
        ([0, 1], [0, 1], {"again": [0, 1, 1]}, "again: expected 2"),
    ],
)
def test_bad_input_is_refused_in_one_line(true, given, options, message):
    with pytest.raises(RequestError) as error:
        audit.labels(true, given, **options)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.filterwarnings("error")
def test_few_labels_and_two_classes_never_crash():
    rng, seen = np.random.default_rng(0), set()
    for trial in range(600):
        n, k = rng.integers(1, 12), rng.integers(1, 5)
        noise = ("uniform", "exclude_true", "pair_flip")[trial % 3]
        true, given = rng.integers(0, k, (2, n))
        p = (0, 0.5, 1)[trial // 3 % 3]
        seen.add(audit.labels(true, given, p=p, noise=noise, index=rng.permutation(n)).kind)
    assert seen <= {"untouched", "unclear"}
    true = true_labels(3000, 2)
    assert audit.labels(true, 1 - true).kind == "renamed"
    assert "permutation cannot be told" in audit.labels(true, noisy(true, 1.0, 2)).words
    assert audit.labels(true, in_batches(true, rng)).kind == "permuted_in_batches"


@pytest.fixture
def files(tmp_path):
    true = true_labels(2000, 10)
    given, index = noisy(true, 0.5, 10), np.arange(2000)[::-1]
    np.savez(tmp_path / "a.npz", true=true, given=given, index=index, header="{}")
    np.save(tmp_path / "pair.npy", np.stack([true, given], axis=1))
    np.save(tmp_path / "given.npy", given)
    np.save(tmp_path / "true.npy", np.eye(10)[true])
    rows = [f"{i},{t},{g}" for i, t, g in zip(index, true, given, strict=True)]
    head = ["# dataset=cifar10", "# p=0.5", "index,true,given"]
    (tmp_path / "a.csv").write_text("\n".join([*head, *rows]) + "\n")
    (tmp_path / "backwards.csv").write_text("\n".join([*head, *rows[::-1]]) + "\n")
    other = tmp_path / "other.npy"
    np.save(other, np.stack([true, noisy(true, 0.5, 10, 1)], axis=1))
    np.save(tmp_path / "objects.npy", np.array([[0, None]], object))
    np.savez(tmp_path / "lacking.npz", given=given)
    (tmp_path / "damaged.npz").write_bytes(b"PK\x03\x04 no zip")
    (tmp_path / "damaged.csv").write_text("index,true,given\n0,1,cat\n")
    (tmp_path / "empty.csv").write_text("index,true,given\n")
    (tmp_path / "nameless.csv").write_text("0,1,2\n")
    (tmp_path / "labels.txt").write_text("0 1\n")
    return tmp_path


@pytest.mark.parametrize(
    "argv, code, words",
    [
        (["a.npz"], 0, "uniform\n"),
        (["a.csv", "--p=0.5"], 0, "as asked for"),
        (["a.csv", "--p=1"], 3, "NOT as asked for"),
        (["a.csv", "--p=0.5", "--noise=pair_flip"], 3, "to_next_class: FAILED"),
        (["a.csv", "--again=backwards.csv", "--p=0.5"], 0, "same_over_two_passes: ok"),
        (["a.csv", "--again=given.npy"], 0, "same_over_two_passes: ok"),
        (["pair.npy"], 0, "uniform\n"),
        (["pair.npy", "--again=other.npy"], 0, "redrawn\n"),
        (["pair.npy", "--again=other.npy", "--p=0.5"], 3, "redrawn - NOT"),
        (["given.npy", "--true=true.npy", "--p", "0.5"], 0, "as asked for"),
        (["lacking.npz", "--true=true.npy"], 0, "uniform\n"),
        (["--help"], 0, "--again FILE"),
        (["given.npy"], 2, "type --true=FILE"),
        (["lacking.npz"], 2, "found no true"),
        (["objects.npy"], 2, "Python objects"),
        (["damaged.npz"], 2, "cannot be read"),
        (["damaged.csv"], 2, "cannot be read"),
        (["empty.csv"], 2, "received none"),
        (["nameless.csv"], 2, "index,true,given"),
        (["labels.txt"], 2, "expected a file .npz, .npy or .csv"),
        (["absent.npy"], 2, "No such file"),
        (["a.csv", "--p=two"], 2, "--p"),
        (["a.csv", "--p=2"], 2, "p: expected a number from 0 to 1"),
        (["a.csv", "--noise=uniform"], 2, "expected --p with it"),
        (["a.csv", "--colour"], 2, "--help lists the flags"),
        ([], 2, "FILE"),
    ],
)
def test_command(files, monkeypatch, capsys, argv, code, words):
    monkeypatch.chdir(files)
    assert guarded(label_audit.main, argv) == code
    out, err = capsys.readouterr()
    assert words in (err if code == 2 else out)
    assert err.count("\n") == (code == 2)


def test_command_as_a_process_without_tensorflow(files):
    flags = [sys.executable, "-X", "importtime", "-m", "rethink_tf.audit"]
    command = [*flags, str(files / "a.csv"), "--p=0.9"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 3 and "Asked for uniform at p = 0.90, but" in done.stdout
    assert " tensorflow\n" not in done.stderr
