"""Labels drawn from a matrix: honest ones pass, the planted defects are refused, each by its check.

First the checks alone, then whole runs with one thing broken.
"""

import re
from dataclasses import replace

import numpy as np
import pytest
from noise_matrices import K, matrix, written

from rethink_tf import audit
from rethink_tf.audit import noise_checks
from rethink_tf.audit.label_pairs import Labels
from rethink_tf.cli import app
from rethink_tf.config import run_config
from rethink_tf.config.run_config import RunConfig
from rethink_tf.corruptions.labels import corrupt_labels
from rethink_tf.data import pipeline
from rethink_tf.errors import AuditError, RequestError
from rethink_tf.runs import results
from rethink_tf.training import run as train

CORRUPTED = pipeline.corrupted
MATRIX, OTHER = matrix(), matrix(shift=2)
TRANSPOSED = MATRIX.T / MATRIX.T.sum(axis=1, keepdims=True)
N = 3000
INDEX = np.arange(N, dtype=np.int64)
TRUE = np.sort(INDEX % K)  # sorted: noise that depends on the class depends on the place too


def drawn(values=MATRIX, corrupt=1.0, seed=0):
    kinds = {"corrupt": corrupt, "num_classes": K, "seed": seed, "matrix": values}
    return corrupt_labels(TRUE, INDEX, **kinds)


def outcomes(given, corrupt=1.0, values=MATRIX):
    checks = noise_checks.checks_of_matrix(Labels(TRUE, given, K, INDEX), corrupt, values)
    return {check.name: check.passed for check in checks}


def failed(given, corrupt=1.0, values=MATRIX):
    return {name for name, passed in outcomes(given, corrupt, values).items() if passed is False}


@pytest.mark.parametrize("corrupt", [0.3, 1.0])
def test_honest_labels_pass(corrupt):
    for seed in range(20):
        assert failed(drawn(corrupt=corrupt, seed=seed), corrupt) == set()
    assert outcomes(drawn())["transitions_by_class"] is True


def test_the_law_is_the_matrix_at_one_and_the_identity_at_zero():
    np.testing.assert_allclose(noise_checks.law(1.0, MATRIX), MATRIX)
    np.testing.assert_array_equal(noise_checks.law(0.0, MATRIX), np.eye(K))
    np.testing.assert_allclose(noise_checks.law(0.5, MATRIX), (MATRIX + np.eye(K)) / 2)


TOLD = {"transitions_by_class", "impossible_transitions"}


def test_each_defect_is_told():
    assert failed(TRUE) >= {"changed_count", "transitions_by_class"}
    assert failed(drawn(TRANSPOSED)) >= TOLD
    assert failed(drawn(OTHER)) >= TOLD
    assert failed(drawn(corrupt=0.5)) >= {"changed_count", "transitions_by_class"}
    assert failed(np.roll(drawn(), 1000)) >= {"changed_count"} | TOLD, "of other examples"


def test_a_small_change_of_one_class_is_told_where_all_together_hide_it():
    values = MATRIX.copy()
    values[4, 4] -= 0.25
    values[4, 7] += 0.25
    assert "transitions_by_class" in failed(drawn(values))


def test_thin_cells_are_told_by_what_the_labels_received():
    k, n = 200, 2000
    true, kept = np.arange(n) % k, 0.6 * np.eye(k)
    even, low = kept + 0.4 / k, kept.copy()
    low[:, :20] += 0.4 / 20
    for values, passed in ((even, True), (low, False)):
        given = corrupt_labels(
            true, np.arange(n), corrupt=1.0, num_classes=k, seed=0, matrix=values
        )
        case = Labels(true, given, k)
        assert noise_checks.received_by_class(case, even).passed is passed
        assert noise_checks.impossible_transitions(case, even).passed


def test_the_p_of_honest_labels_is_even():
    chances = []
    for seed in range(200):
        case = Labels(TRUE, drawn(seed=seed), K)
        detail = noise_checks.transitions_by_class(case, MATRIX).detail
        chances.append(float(re.search(r"chi-squared ([\d.]+) on 20", detail)[1]))
    # Chi-squared on 20 degrees: mean 20, deviation 6.3; of 200 means 0.45.
    assert 18 < np.mean(chances) < 22 and 5 < np.std(chances) < 7.6


def test_few_examples_are_not_testable():
    few = Labels(TRUE[::150], drawn()[::150], K)
    assert noise_checks.transitions_by_class(few, MATRIX).passed is None
    certain = np.roll(np.eye(K), 1, axis=1)
    case = Labels(TRUE, drawn(certain), K)
    assert noise_checks.transitions_by_class(case, certain).passed is None
    assert noise_checks.impossible_transitions(case, certain).passed
    assert not noise_checks.impossible_transitions(case, np.eye(K)).passed


# Anyone's labels


def test_the_verdict_on_anyones_labels():
    def verdict(given, **changes):
        return audit.labels(TRUE, given, **({"p": 1.0, "matrix": MATRIX} | changes))

    honest = verdict(drawn())
    assert honest.ok is True and "these labels are " in honest.message
    for given in (TRUE, drawn(TRANSPOSED), drawn(OTHER), np.roll(drawn(), 1000)):
        refused = verdict(given)
        assert refused.ok is False
        assert "= 1.00, but " in refused.message
    assert verdict(drawn(corrupt=0.4), p=0.4).ok is True
    assert verdict(drawn(), again=drawn(seed=1)).ok is False
    for changes, words in (
        ({"p": None}, "matrix: expected a p with it"),
        ({"num_classes": 11}, "num_classes: expected 10, .*received 11"),
        ({"matrix": MATRIX[:5]}, r"matrix: expected shape .*received \[5, 10\]"),
    ):
        with pytest.raises(RequestError, match=words):
            verdict(drawn(), **changes)


def test_the_command_judges_by_a_matrix_and_draws_it(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    path = written(tmp_path / "m.csv")
    rows = zip(TRUE.tolist(), drawn().tolist(), strict=True)
    lines = ["true,given", *(f"{true},{given}" for true, given in rows)]
    (tmp_path / "n.csv").write_text("\n".join(lines))
    written(tmp_path / "t.csv", TRANSPOSED)

    def code(*argv):
        return app.guarded(app.main, ["audit", "n.csv", *argv])

    assert code("--p=1", f"--noise={path}", "--picture=both.png") == 0
    assert "both.png: the transition matrix" in capsys.readouterr().out
    assert code("--picture=one.png") == 0
    shapes = [picture_shape(tmp_path / name) for name in ("both.png", "one.png")]
    assert shapes[0][0] == shapes[1][0] == 1600 and shapes[0][1] < shapes[1][1]
    assert code("--p=1", "--noise=t.csv") == 3
    capsys.readouterr()
    for argv in (["--noise=m.csv"], ["--p=1", "--noise=none.csv"], ["--picture=one.jpg"]):
        assert code(*argv) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and argv[-1].partition("=")[0] in error


def picture_shape(path):
    from PIL import Image

    with Image.open(path) as image:
        return image.size


# Whole runs


def run(folder, path, **changes):
    kinds = {"model": "mlp_1x512", "dataset": "digits", "corrupt": 1.0, "epochs": 1}
    config = run_config.resolve(RunConfig(**(kinds | {"label_noise": path} | changes)))
    return train.run(config, folder, say=lambda _: None)


def with_matrix(values):
    """A pipeline that draws from another matrix than the configured one."""

    def broken(split, corruption, **measured):
        return CORRUPTED(split, replace(corruption, matrix=values), **measured)

    return broken


def not_applied(split, corruption, **measured):
    return CORRUPTED(split, replace(corruption, corrupt=0.0), **measured)


# The comparison with the reference sees all of them; the other checks need no reference.
DEFECTS = {
    "not applied": (not_applied, {"changed_count", "transitions_by_class"}),
    "transposed": (with_matrix(TRANSPOSED), TOLD),
    "another matrix": (with_matrix(OTHER), TOLD),
}


@pytest.mark.parametrize("corrupt", [0.6, 1.0])
@pytest.mark.parametrize("defect", DEFECTS)
def test_a_run_with_a_defect_is_refused(defect, corrupt, tmp_path, monkeypatch, tensorflow):
    broken, meant = DEFECTS[defect]
    monkeypatch.setattr(pipeline, "corrupted", broken)
    with pytest.raises(AuditError, match="what was asked for") as error:
        run(tmp_path / "run", written(tmp_path / "m.csv"), corrupt=corrupt)
    found = set(re.findall(r"(\w+): FAILED", str(error.value)))
    assert found >= meant | {"given_equals_reference"}
    assert results.read_summary(tmp_path / "run") is None


def test_an_honest_run_says_what_it_drew(tmp_path, tensorflow):
    summary = run(tmp_path / "run", written(tmp_path / "m.csv"))
    passed = {check["name"]: check["passed"] for check in summary["audit"]}
    names = {"given_equals_reference", "changed_count", "impossible_transitions"}
    names |= {"transitions_by_class", "received_by_class", "changed_by_position"}
    assert {passed[name] for name in names} == {True} and False not in passed.values()
    assert summary["changed_fraction"] == pytest.approx(0.335, abs=0.05)
    assert "received_evenly" not in passed
