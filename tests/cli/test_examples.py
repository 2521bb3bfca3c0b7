"""rethink-tf examples: the page of a real run, and what it refuses."""

import csv

import dynamics
import numpy as np
import pytest

from rethink_tf.analysis import example_scores
from rethink_tf.cli import app
from rethink_tf.runs import results


@pytest.fixture(scope="module")
def run_dir(tensorflow, tmp_path_factory):
    return dynamics.train_run(tmp_path_factory.mktemp("runs"), epochs=2)


@pytest.fixture
def examples(run_dir, capsys, own_signals, tmp_path):
    """(exit code, stdout, stderr) of the command."""

    def run(*argv, out=tmp_path / "out"):
        capsys.readouterr()
        code = app.main(["examples", *argv, f"--runs_dir={run_dir.parent}", f"--out={out}"])
        return (code, *capsys.readouterr())

    return run


def test_page_csv_and_table_of_a_run(run_dir, examples, tmp_path):
    code, out, err = examples(run_dir.name, str(run_dir), "--count=5")
    assert (code, err) == (0, "")
    columns = results.read_examples(run_dir)
    noisy = columns["given"] != columns["true"]
    (best, *_) = found = example_scores.detection(example_scores.of_run(run_dir))
    assert f"{int(noisy.sum())} labels" in out and f"{best.roc_auc:.3f}" in out
    assert len(found) == len(columns) - 3 and best.roc_auc > 0.8
    lines = (tmp_path / "out" / "examples.csv").read_text().splitlines()
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    assert [int(r["index"]) for r in rows] == columns["index"].tolist()
    np.testing.assert_allclose([float(r["aum"]) for r in rows], columns["aum"], rtol=1e-6)
    page = (tmp_path / "out" / "examples.html").read_text()
    assert page.count("<img ") >= 20 and "1.000" in page.partition('id="agreement"')[2]


def test_pictures_need_the_data_set(run_dir, examples, monkeypatch, tmp_path):
    from rethink_tf.cli import examples as command

    monkeypatch.setattr(command.datasets, "is_on_disk", lambda name, data_dir: False)
    code, _, err = examples(str(run_dir))
    assert code == 2 and "--pictures: expected digits on disk" in err and "--nopictures" in err
    assert not (tmp_path / "out").exists()
    code, _, _ = examples(str(run_dir), "--nopictures")
    assert code == 0 and "<img " not in (tmp_path / "out" / "examples.html").read_text()


def test_other_data_are_refused(run_dir, examples, monkeypatch, tmp_path):
    from rethink_tf.cli import examples as command

    real = command.example_scores.of_run

    def shifted(folder):
        found = real(folder)
        object.__setattr__(found, "true", (found.true + 1) % 10)
        return found

    monkeypatch.setattr(command.example_scores, "of_run", shifted)
    code, _, err = examples(str(run_dir))
    assert code == 2 and "200 of 200 examples" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "RUN, received none"),
        (["run"] * 21, "received 21"),
        (["no_run"], "no_run: expected the folder of a run, or its id below --runs_dir"),
        (["no_run", "--count=0"], "--count: expected a whole number from 1"),
    ],
)
def test_wrong_requests(argv, words, examples):
    code, out, err = examples(*argv)
    assert (code, out) == (2, "") and words in err and err.count("\n") == 1
