"""Files of class-dependent noise: what is read, what is refused, and what of them counts."""

import numpy as np
import pytest
from noise_matrices import K, matrix, text, written

from rethink_tf.config.run_config import RunConfig, resolve, run_id
from rethink_tf.data import noise_matrix
from rethink_tf.errors import RequestError


def resolved(path, **changes):
    kinds = {"dataset": "digits", "corrupt": 1.0, "label_noise": str(path)}
    return resolve(RunConfig(**(kinds | changes)))


def test_a_file_is_read_with_comments_spaces_and_blank_lines(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("\ufeff# rows are true classes\n0.5, 5e-1\n\n .25,0.75 # the second\n", "utf-8")
    assert noise_matrix.read(str(path)).tolist() == [[0.5, 0.5], [0.25, 0.75]]


HALF = "0.5,0.5\n"
BAD = {
    "not square": ("0.5,0.5\n" * 3, "expected as many columns as rows, received 3 rows, of which "),
    "ragged": ("0.5,0.5\n0.2,0.3,0.5\n", "received 2 rows, of which row 2 has 3 columns"),
    "one class": ("1\n", "expected 2 to 2048 rows, received 1"),
    "empty": ("", "expected 2 to 2048 rows, received 0"),
    "sum": (HALF + "0.5,0.49\n", "expected rows that sum to 1, row 2 sums to 0.99; divide each"),
    "sums by column": ("0.5,0.9\n0.5,0.1\n", "expected rows that sum to 1, row 1 sums to 1.4"),
    "negative": (HALF + "1.5,-0.5\n", "expected probabilities from 0 to 1, row 2 has -0.5"),
    "nan": (HALF + "nan,1\n", "expected probabilities from 0 to 1, row 2 has nan"),
    "infinite": (HALF + "inf,1\n", "expected rows that sum to 1, row 2 sums to inf"),
    "names": (
        "cat,dog\n" + HALF * 2,
        "expected numbers with commas between them, line 1 has 'cat'",
    ),
    "a gap": (HALF + "1,\n", "expected numbers with commas between them, line 2 has ''"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_refused_in_one_line(kind, tmp_path):
    content, wanted = BAD[kind]
    path = tmp_path / "m.csv"
    path.write_text(content)
    with pytest.raises(RequestError) as refused:
        noise_matrix.read(str(path))
    assert str(refused.value).startswith(f"--label_noise={path}: ")
    assert wanted in str(refused.value) and "\n" not in str(refused.value)
    with pytest.raises(RequestError):
        resolved(path)


def test_what_is_no_text_file_is_refused(tmp_path):
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "folder.csv").mkdir()
    for name in ("bytes.csv", "folder.csv", "missing.csv", "nul\0.csv"):
        with pytest.raises(RequestError, match="--label_noise=") as refused:
            resolved(tmp_path / name)
        assert "\n" not in str(refused.value)


def test_a_matrix_of_other_classes_is_refused(tmp_path):
    path = written(tmp_path / "m.csv")
    with pytest.raises(RequestError, match="expected 100 rows, .*received 10"):
        resolved(path, dataset="cifar100")


@pytest.mark.parametrize(
    "changes, refusal",
    [
        ({"corrupt": 0.0}, "--label_noise=FILE.csv: expected --corrupt above 0 with it"),
        ({"labels_from": "other.csv"}, "--labels_from: expected --corrupt=0 with it"),
    ],
)
def test_contradictions_are_refused(changes, refusal, tmp_path):
    with pytest.raises(RequestError, match=refusal):
        resolved(written(tmp_path / "m.csv"), **changes)


def test_a_name_that_is_neither_a_kind_nor_a_csv_is_refused(tmp_path):
    with pytest.raises(RequestError, match="--label_noise: expected one of uniform, exclude_true"):
        resolved(written(tmp_path / "m.txt"))


def test_a_matrix_counts_by_its_numbers_and_not_by_its_path(tmp_path):
    first = resolved(written(tmp_path / "a.csv"))
    (tmp_path / "b.csv").write_text("# the same\n" + text(matrix()).replace(",", ", "))
    second, other = resolved(tmp_path / "b.csv"), resolved(written(tmp_path / "c.csv", matrix(2)))
    uniform = resolve(RunConfig(dataset="digits", corrupt=1.0))
    assert run_id(first) == run_id(second) != run_id(other) != run_id(uniform)
    assert run_id(first) != run_id(resolved(tmp_path / "a.csv", corrupt=0.5))
    (tmp_path / "a.csv").unlink()
    assert resolve(first) == first, "resolved already: the file is not read again"


def test_a_file_that_changed_since_it_was_named_is_refused(tmp_path):
    config = resolved(written(tmp_path / "m.csv"))
    np.testing.assert_allclose(noise_matrix.matrix_of(config.label_noise, K), matrix())
    written(tmp_path / "m.csv", matrix(2))
    with pytest.raises(RequestError, match="since it was named"):
        noise_matrix.matrix_of(config.label_noise, K)
    assert noise_matrix.matrix_of("uniform", K) is None


def test_the_public_function_draws_from_a_matrix(tmp_path):
    import rethink_tf

    true = np.arange(20_000) % K
    given = rethink_tf.corrupt_labels(true, 1.0, noise=written(tmp_path / "m.csv"))
    shares = np.bincount(true * K + given, minlength=K * K).reshape(K, K) / 2000
    np.testing.assert_allclose(shares, matrix(), rtol=0, atol=0.06)
