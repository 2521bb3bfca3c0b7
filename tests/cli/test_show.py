"""Pictures that the command and a run write."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from drawing import drawn, expected, history, legends, opened
from report_runs import write_run

from rethink_tf.cli import show
from rethink_tf.cli.app import guarded
from rethink_tf.config import run_config
from rethink_tf.errors import StorageError
from rethink_tf.plotting import curves
from rethink_tf.plotting import style as pictures
from rethink_tf.runs import description, results
from rethink_tf.training.recording import samples

REPOSITORY = Path(__file__).resolve().parents[2]


def refused(capsys, *argv) -> str:
    """The one line of a request that is refused."""
    assert guarded(show.main, list(argv)) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), err[:12]) == ("", 1, "rethink_tf: ")
    return err


def test_every_class_has_a_name():
    for name, names in samples.CLASS_NAMES.items():
        assert len(set(names)) == show.DATASETS[name].num_classes


def made(tmp_path, monkeypatch, **fields):
    """(config, source, train, the columns and labels that are drawn, the picture)."""
    from rethink_tf.training import input_pipeline

    seen = {}
    real = pictures.sample_grid

    def record(columns, true, names, **more):
        seen.update(columns=columns, true=true, **more)
        return real(columns, true, names, **more)

    monkeypatch.setattr(pictures, "sample_grid", record)
    fields = {"model": "mlp_1x512", "dataset": "digits", **fields}
    resolved = run_config.resolve(run_config.RunConfig(**fields))
    source = input_pipeline.load(resolved, say=lambda _: None)
    train = input_pipeline.table(source, source.train)
    return resolved, source, train, seen, samples.run_samples(resolved, source, train)


KINDS = [
    ({}, 0),
    ({"corrupt": 0.5}, 4),
    ({"pixels": "random", "corrupt": 1.0}, 2),
    ({"pixels": "gaussian"}, 3),
    ({"pixels": "gaussian", "pixel_mix": 0.5, "corrupt": 0.5}, 4),
    ({"pixels": "shuffled", "shuffle_fraction": 0.25}, 4),
    ({"augment": "crop", "input_size": 12}, 4),
    ({"input_size": 12, "examples": 50, "label_noise": "pair_flip", "corrupt": 0.9}, 4),
    ({"examples": 3}, 0),
]


@pytest.mark.parametrize("fields, place", KINDS)
def test_the_runs_own_column_is_what_it_trains_on(
    tmp_path, monkeypatch, offline, tensorflow, fields, place
):
    from rethink_tf.data import pipeline

    monkeypatch.setattr(pictures, "pixels_of", lambda figure: len(figure.axes))
    resolved, _source, train, seen, drawn_axes = made(tmp_path, monkeypatch, **fields)
    titles = list(seen["columns"])
    assert len(titles) == 4 + (place == 4)
    assert [t.startswith("this run:") for t in titles] == [n == place for n in range(len(titles))]
    rows = np.searchsorted(train.index, seen["index"])
    assert len(rows) == min(8, train.num_examples)
    assert len(set(train.true[rows])) == len(rows), "one of each class"
    np.testing.assert_array_equal(seen["true"], train.true[rows])
    images, given = seen["columns"][titles[place]]
    own = pipeline.augmented(
        train.images[rows],
        train.index[rows],
        augment=resolved.augment,
        size=resolved.input_size,
        seed=resolved.seed,
        epoch=1,
    )
    np.testing.assert_array_equal(images, pipeline.standardise(own).numpy())
    np.testing.assert_array_equal(given, train.given[rows])
    for number, (kind, title) in enumerate(zip(description.PIXEL_TITLES, titles, strict=False)):
        images, given = seen["columns"][title]
        assert images.shape == (len(rows), resolved.input_size, resolved.input_size, 1)
        assert abs(images.mean()) < 1e-5 and abs(images.std() - 1) < 1e-3
        np.testing.assert_array_equal(given, (train.given if number else train.true)[rows])
        assert description.PIXEL_TITLES[kind] in title
        assert ("true labels" in title) == (number == 0 or not fields.get("corrupt"))
    assert drawn_axes == len(rows) * len(titles)


def test_the_examples_shown_do_not_depend_on_the_corruption():
    labels = np.array([2, 2, 0, 1, 0, 2, 1])
    assert samples.choose(labels, 3).tolist() == [2, 3, 0]
    assert samples.choose(labels, 5).tolist() == [2, 3, 0, 4, 6]
    assert sorted(samples.choose(labels, 99)) == list(range(7))


def test_the_readers_own_settings_change_nothing():
    import matplotlib

    def draw():
        true = np.array([3])
        samples = pictures.sample_grid({"a": (np.zeros([1, 4, 4, 1]), true)}, true)
        drawn = curves.learning_curves([("run", history(4))], [10])
        return [pictures.png(pictures.pixels_of(figure)) for figure in (samples, drawn)]

    plain = draw()
    with matplotlib.rc_context({"text.usetex": True, "font.size": 30, "axes.facecolor": "red"}):
        assert draw() == plain
    assert [opened(content).width for content in plain] == [1600, 1600]


class Log:
    def __init__(self):
        self.images = []

    def image(self, tag, picture):
        self.images.append((tag, picture.shape))


def test_a_picture_that_cannot_be_drawn_costs_a_line_only(tmp_path, monkeypatch):
    def broken(*_):
        raise ValueError("no font\nsecond line")

    said, log = [], Log()
    monkeypatch.setattr(samples, "run_samples", broken)
    samples.record_samples(None, None, None, tmp_path, log, said.append)
    assert said == ["samples.png was not drawn: ValueError: no font"]
    assert list(tmp_path.iterdir()) == [] and log.images == []


def test_a_picture_that_cannot_be_written_is_an_error(tmp_path, monkeypatch):
    picture = np.zeros([4, 5, 3], np.uint8)
    monkeypatch.setattr(samples, "run_samples", lambda *_: picture)
    log = Log()
    with pytest.raises(StorageError):
        samples.record_samples(None, None, None, tmp_path / "missing", log, print)
    samples.record_samples(None, None, None, tmp_path, log, print)
    assert opened((tmp_path / results.SAMPLES).read_bytes()).size == (5, 4)
    assert log.images == [("samples", (4, 5, 3))]


def test_a_run_draws_its_samples(tmp_path, offline, tensorflow):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from rethink_tf.training import run as train

    fields = {"model": "mlp_1x512", "dataset": "digits", "examples": 64, "epochs": 1}
    resolved = run_config.resolve(run_config.RunConfig(**fields, corrupt=0.5))
    train.run(resolved, tmp_path / "run", say=lambda _: None)
    content = (tmp_path / "run" / results.SAMPLES).read_bytes()
    assert opened(content).width == 1600
    events = EventAccumulator(str(tmp_path / "run" / results.TENSORBOARD)).Reload()
    (event,) = events.Tensors("samples")
    width, height, encoded = event.tensor_proto.string_val
    assert (event.step, int(width), int(height)) == (0, 1600, opened(content).height)
    np.testing.assert_array_equal(opened(encoded), opened(content))


# The command


def a_run(folder, lines, **fields):
    folder.mkdir()
    content = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / results.HISTORY).write_text(content)
    if fields:
        (folder / results.CONFIG).write_text(json.dumps({"config": fields}))
    return str(folder)


def test_the_command_draws_what_the_run_would(tmp_path, monkeypatch, offline, tensorflow, capsys):
    fields = {"pixels": "gaussian", "pixel_mix": 0.25, "corrupt": 0.5, "examples": 200}
    *_, picture = made(tmp_path, monkeypatch, **fields)
    assert (picture.dtype, picture.shape[1:]) == (np.uint8, (1600, 3)) and len(picture) >= 2000
    out = tmp_path / "grid.png"
    argv = [f"--{name}={value}" for name, value in fields.items()]
    argv += ["--dataset=digits", "--model=mlp_1x512", f"--out={out}"]
    assert guarded(show.main, argv) == 0
    assert capsys.readouterr().out == f"{out}\n"
    np.testing.assert_array_equal(opened(out.read_bytes()), picture)


def test_labels_from_a_file(tmp_path, monkeypatch, offline, tensorflow, capsys):
    from rethink_tf.cli import noise as noise_command

    path = tmp_path / "noise.csv"
    exported = [f"--export={path}", "--dataset=digits", "--corrupt=1", "--examples=100"]
    assert guarded(noise_command.main, exported) == 0
    *_, picture = made(tmp_path, monkeypatch, labels_from=str(path), examples=100)
    monkeypatch.chdir(tmp_path)
    argv = ["--dataset=digits", f"--labels_from={path}", "--examples=100", "--model=mlp_1x512"]
    assert guarded(show.main, argv) == 0
    assert capsys.readouterr().out.endswith("\nsamples.png\n")
    np.testing.assert_array_equal(opened((tmp_path / "samples.png").read_bytes()), picture)


def test_the_command_draws_curves_without_tensorflow(tmp_path):
    run = a_run(tmp_path / "a", history(12, every=3), model="mlp_1x512", dataset="digits")
    code = (
        "import sys\nfrom rethink_tf.cli import show\nassert 'matplotlib' not in sys.modules\n"
        f"show.main([{run!r}, {run!r}])\n"
        "assert not {'tensorflow', 'matplotlib.pyplot'} & set(sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(REPOSITORY), "HOME": str(Path.home())},
    )
    assert (result.stdout, result.stderr) == ("curves.png\n", "")
    image = opened((tmp_path / "curves.png").read_bytes())
    assert image.width == 1600 and image.height >= 800


def test_the_curves_of_folders(tmp_path):
    fields = {"model": "inception", "dataset": "cifar100", "examples": 5000, "pixels": "random"}
    shuffled = {"model": "mlp_1x512", "dataset": "cifar10", "corrupt": 0.5}
    wanted = run_config.resolve(run_config.RunConfig(**shuffled, epochs=3))
    folders = [
        Path(a_run(tmp_path / "a", history(3, 0), **fields, shuffle_fraction=0.5, seed=3)),
        write_run(tmp_path, wanted).rename(tmp_path / "b"),
        write_run(tmp_path, wanted).rename(tmp_path / "c"),
        Path(a_run(tmp_path / "d", history(3, 3))),
    ]
    lines = [results.read_history(folder) for folder in folders]
    figure = show._curves(folders)
    assert [axes.get_title().replace("\n", " ") for axes in figure.axes] == [
        "inception, cifar100, 5,000 examples, random pixels, fraction 0.5, true labels, seed 3, "
        "unfinished",
        "mlp_1x512, cifar10, labels at p = 0.5 (b)",
        "mlp_1x512, cifar10, labels at p = 0.5 (c)",
        "d",
    ]
    assert [drawn(axes) for axes in figure.axes] == [expected(x) for x in lines]
    assert legends(figure)[0][-1] == "chance (1%, 10%)"


def test_what_is_not_a_run_is_refused_in_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    good = a_run(tmp_path / "good", history(2))
    empty = a_run(tmp_path / "empty", [])
    early = a_run(tmp_path / "early", history(2, every=5))
    strange = a_run(tmp_path / "strange", [5])
    assert "nowhere: expected the folder of a run" in str(refused(capsys, good, "nowhere"))
    assert "expected an evaluated epoch" in refused(capsys, empty)
    assert "expected an evaluated epoch" in refused(capsys, good, early)
    assert "at most 100 runs" in refused(capsys, *[good] * 101)
    assert "ends in .png" in refused(capsys, good, "--out=curves.pdf")
    assert re.search(
        "--corrupt: expected no flag of a run", str(refused(capsys, good, "--corrupt=0.5"))
    )
    assert "did you mean --corrupt?" in refused(capsys, "--corupt=0.5")
    assert "--corrupt: expected a number" in refused(capsys, "--dataset=digits", "--corrupt=2")
    assert "digits: expected the folder" in refused(capsys, "--threads=1", "digits")
    assert guarded(show.main, [good, f"--out={tmp_path}/no/curves.png"]) == 6
    assert capsys.readouterr().err.count("\n") == 1
    assert guarded(show.main, [strange]) == 6
    assert "expected one JSON object a line; the run is not used: move" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.png"))


def test_a_run_is_named_by_its_id_too(tmp_path, capsys, monkeypatch):
    (tmp_path / "runs").mkdir()
    a_run(tmp_path / "runs" / "one", history(2))
    monkeypatch.chdir(tmp_path)
    assert guarded(show.main, ["one"]) == 0 and (tmp_path / show.CURVES).is_file()
    assert capsys.readouterr().out == f"{show.CURVES}\n"
    assert "its id below --runs_dir=others" in refused(capsys, "one", "--runs_dir=others")


def test_help_names_both_forms(capsys):
    assert guarded(show.main, ["--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("rethink-tf show [RUN ...] [--flagfile=FILE]")
    for words in ("With RUN:", "--out ", "--corrupt ", "--data_dir "):
        assert words in out
    assert max(map(len, out.splitlines())) <= 100


def test_a_history_of_an_older_version_is_drawn(tmp_path):
    folder = Path(a_run(tmp_path / "a", history(2), model="alexnet", dataset="digits", new=1))
    assert "digits, true labels, unfinished" in description.run_name(folder)
    fields = dataclasses.asdict(run_config.RunConfig(dataset="digits", labels_from="x.csv"))
    folder = Path(a_run(tmp_path / "b", history(2), **fields))
    assert "from a file, unfinished" in description.run_name(folder)
