"""Hundreds of command lines, in process: a value, or one line and the right exit code.

Nothing trains, but all that comes before it runs: flags, flagfiles, settings, noise files, what is
finished already, locks. Files: test_fuzz_files.py.
"""

import dataclasses
import functools
import itertools
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fuzzing import audited, call, contents, fuzz, judged
from hypothesis import example, given
from hypothesis import strategies as st

from rethink_tf import main
from rethink_tf.cli import noise as noise_command
from rethink_tf.cli import show
from rethink_tf.config import run_config
from rethink_tf.config.flags import Options
from rethink_tf.config.run_config import FIELDS
from rethink_tf.data import noise_file
from rethink_tf.data.sources import digits
from rethink_tf.data.sources import tfds as tfds_source
from rethink_tf.runs import results
from rethink_tf.training.devices.workers import Workers

FINISHED = ["--model=mlp_1x512", "--dataset=digits", "--runs_dir=done"]
SUMMARY = dict.fromkeys(
    (
        "loss",
        "train_loss",
        "test_loss",
        "learning_rate",
        "label_checksum",
        "clean_accuracy",
        "corrupted_accuracy",
        "corrupted_original_accuracy",
        "best_test_accuracy",
        "reason",
    )
) | {
    "status": "DONE",
    "epochs": 1,
    "train_accuracy": 0.5,
    "test_accuracy": 0.25,
    "accuracy": 0.5,
    "changed_fraction": 0.0,
    "audit": [],
}
LINE = '{"epoch": 1, "loss": 1.0, "test_accuracy": 0.5}\n'

# What is typed where another thing belongs.
ODD = [
    "",
    " ",
    "0",
    "-1",
    "2",
    "0.5",
    "-0",
    "+1",
    "1e5",
    "1e-320",
    "1e999",
    "-1e999",
    "nan",
    "inf",
    "9" * 5000,
    "4294967296",
    "1000001",
    "1_0",
    "0x10",
    "0x",
    "٣",
    "true",
    "maybe",
    "None",
    "[]",
    "1,2",
    ",",
    "a\nb",
    "a\x1bb",
    "\0",
    "\udcff",
    "\ud800",
    "🎲",
    "%s",
    "$x$",
    "{}",
    "'",
    "=",
    "-",
    "--",
    "x" * 300,
    "digits",
    "inception",
    "exact",
]
PATHS = [
    "",
    ".",
    " ",
    "runs",
    "done",
    "a/b",
    "file",
    "file/x",
    "folder",
    "loop",
    "x" * 300,
    "é🎲",
    "$x$",
    "%d",
    "a\nb",
    "-",
    "~",
    "~nobody/x",
    "\0",
    "\udcff",
    "gs://x/y",
    "file.png",
    "folder.png",
    "folder.csv",
    "no/out.png",
    "no/out.csv",
    "file/x.png",
    "\0.png",
    "\0.csv",
    "\udcff.png",
    "\udcff.csv",
    "é.csv",
    "é.png",
    "x" * 252 + ".csv",
    "x" * 252 + ".png",
    "out.csv",
    "out.npz",
    "@parent:",
    "runs@parent:run:1:00",
    "runs@parent:run:x:00:1",
    "out.png",
    "out.txt",
    "noise.csv",
    "noise.npz",
    "part.npz",
    "bad.csv",
    "bad.npz",
    "good.flags",
    "circle.flags",
    "bad.flags",
    "bytes.flags",
    "null.flags",
    "long.flags",
    "nested.flags",
    "noise.csv@sha256:00",
    "@sha256:",
    "done/run",
    "done/$x$",
]
NOISE_FILES = ("noise.csv", "noise.npz", "part.npz", "bad.csv", "bad.npz")
GOOD = {
    "examples": ["1", "2", "100", "1500"],
    "input_size": ["4", "8", "16"],
    "corrupt": ["0", "0.5", "1", "1e-9"],
    "pixel_mix": ["0", "0.5", "1"],
    "shuffle_fraction": ["0", "0.5", "1"],
    "weight_decay": ["0", "1e-5"],
    "dropout": ["0", "0.5"],
    "learning_rate": ["0.1", "1e-30"],
    "lr_decay": ["0.9", "1"],
    "momentum": ["0", "0.9"],
    "warmup_epochs": ["0", "5"],
    "batch_size": ["1", "32", "1000000"],
    "epochs": ["1", "1000000"],
    "seed": ["0", "4294967295"],
    "eval_every": ["1", "1000000"],
    "held_out": ["0", "1", "100"],
    "stop_at_train_accuracy": ["1", "0.5"],
    "sync_batch_norm": ["true", "false"],
    "lr_milestones": ["150,225", "3"],
    "init_epoch": ["1"],
    "init_from": ["random", "random:digits"],
    "profile": ["trace"],
    "dry_run": ["true", "false"],
    "verbose": ["true", "false"],
    "deterministic": ["true"],
    "threads": ["0", "4096"],
    "devices": ["0", "1024"],
    "checkpoint_every": ["0", "1000000"],
    "keep_epochs": ["1,2", "9999"],
    "resume": ["exact", "anyway", "restart"],
    "strategy": ["auto", "one_device", "mirrored"],
    "curve": ["loss", "accuracy"],
    "labels_from": ["noise.csv", "noise.npz"],
    "flagfile": ["good.flags", "long.flags"],
    "runs_dir": ["runs", "done", "a/b"],
    "data_dir": ["folder"],
    "cache_dir": ["folder"],
    "out": ["out.png", "é.png"],
    "export": ["out.csv", "out.npz"],
    "undefok": ["x"],
    "help": ["false"],
} | {name: list(f.metadata["choices"]) for name, f in FIELDS.items() if f.metadata["choices"]}
IS_PATH = (
    "init_from",
    "profile",
    "labels_from",
    "flagfile",
    "runs_dir",
    "data_dir",
    "cache_dir",
    "out",
    "export",
)
SIGNS = ["--", "-", "---x", "--=1", "--=", "-h", "--help", "--helpfull", "--no", "--undefok", "--x"]
NAMES = [*FIELDS, *(f.name for f in dataclasses.fields(Options)), "flagfile", "undefok", "help"]


def odd_values(name):
    if name == "export":  # it may write over a noise file, as asked, and here none is to change
        return st.sampled_from([path for path in PATHS if path not in NOISE_FILES])
    if name in IS_PATH:
        return st.sampled_from(PATHS)
    # Without a slash: what is typed at random names no place outside of the folder.
    text = st.text(max_size=6).filter(lambda text: "/" not in text and ".." not in text)
    return st.one_of(st.sampled_from(ODD), text, st.floats().map(str), st.integers().map(str))


@st.composite
def words(draw, names):
    """One flag in any of its forms, mostly good, or something that is none."""
    name = draw(st.sampled_from(names))
    odd = draw(st.integers(0, 9)) < (5 if name in IS_PATH else 1)
    value = draw(odd_values(name) if odd else st.sampled_from(GOOD[name]))
    form = draw(st.integers(0, 100))
    if form < 85:
        return [f"--{name}={value}"]
    place = draw(st.integers(0, len(name)))
    forms = [
        [f"--{name}", value],
        [f"-{name}={value}"],
        [f"--{name}"],
        [f"--no{name}"],
        [f"--{name}={value}", f"--{name}={value}"],
        [value.lstrip("/")],
        [f"--{name[:place]}x{name[place:]}={value}"],
        [f"--{name.replace('_', '-')}={value}"],
        [f"--{name.upper()}={value}"],
        [f"--{name[:-1]}={value}"],
        [draw(st.sampled_from(SIGNS))],
    ]
    return draw(st.sampled_from(forms))


def lines(starts, more=()):
    """Command lines: one of the starts, and up to seven flags before or after it."""
    flags = st.lists(words([*NAMES, *more]), max_size=7).map(
        lambda found: list(itertools.chain(*found))
    )
    parts = st.tuples(st.sampled_from(starts), flags, st.booleans())
    return parts.map(lambda p: p[0] + p[1] if p[2] else p[1] + p[0])


def prepare(folder):
    """Good and bad files in the current folder."""
    (folder / "file").write_text("kept")
    for name in ("folder", "folder.png", "folder.csv"):
        (folder / name).mkdir()
    os.symlink("loop", folder / "loop")
    for name, content in {
        "good.flags": "--model=mlp_1x512\n--dataset=digits\n",
        "circle.flags": "--flagfile=circle.flags\n",
        "bad.flags": "--epochs=x\nword\n",
        "long.flags": "--seed=1\n" * 2000,
        "null.flags": "--runs_dir=a\0b\n",
        "nested.flags": "# both\n--flagfile=good.flags\n--flagfile=none\n",
        "bad.csv": "index,true\n1,2\n",
    }.items():
        (folder / name).write_text(content)
    (folder / "bytes.flags").write_bytes(bytes(range(256)))
    (folder / "bad.npz").write_bytes(b"PK\x03\x04junk")
    for name, part in (("noise.csv", []), ("noise.npz", []), ("part.npz", ["--examples=100"])):
        argv = [f"--export={name}", "--dataset=digits", "--corrupt=0.5", *part]
        assert call(noise_command.main, argv).code == 0
    wanted = run_config.resolve(run_config.RunConfig("mlp_1x512", "digits"))
    for name in (run_config.run_id(wanted), "run", "$x$"):
        (folder / "done" / name).mkdir(parents=True)
        (folder / "done" / name / results.HISTORY).write_text(LINE)
    finished = folder / "done" / run_config.run_id(wanted)
    results.finish(finished, SUMMARY | {"run_id": finished.name})


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The current folder, with good and bad files in it; what would start TensorFlow does not."""
    folder = tmp_path_factory.mktemp("place")
    trained = []

    def train(wanted, run_dir, *_):
        trained.append(run_dir)
        return SUMMARY

    def grid(*_):
        trained.append("grid")
        return np.zeros([4, 4, 3], np.uint8)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TFDS_DATA_DIR", "no_data")
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("HOME", str(folder / "home"))
        patch.setattr(
            "rethink_tf.training.run._start", lambda *_: SimpleNamespace(workers=Workers())
        )
        patch.setattr("rethink_tf.training.run._train", train)
        patch.setattr(
            "rethink_tf.training.run.plan", lambda resolved, _: run_config.run_id(resolved)
        )
        patch.setattr(show, "_grid", grid)
        patch.setattr(digits, "load", functools.cache(digits.load))
        patch.setattr(tfds_source, "host_answers", lambda *_, **__: False)
        prepare(folder)
        yield SimpleNamespace(folder=folder, trained=trained, files=contents(folder))


def counts(quick, whole):
    """How many examples a test takes: where slow tests run, more as well."""
    slow = pytest.param(whole, marks=pytest.mark.slow)
    return pytest.mark.parametrize("count", [quick, slow])


@counts(500, 1000)
def test_command_lines(place, count):
    codes, before = [], len(place.trained)
    digits = ["--model=mlp_1x512", "--dataset=digits"]
    starts = [
        [],
        digits,
        digits,
        digits[1:],
        ["--dry_run", *digits],
        ["--dry_run"],
        FINISHED,
        FINISHED,
        ["--help"],
    ]

    @fuzz(count)
    @given(lines(starts))
    def run(argv):
        codes.append(judged(main.main, argv).code)

    run()
    assert contents(place.folder) == place.files, "no run is half written, none that is finished"
    assert len(codes) >= count and min(codes.count(0), codes.count(2)) > count // 5 and 6 in codes
    assert len(place.trained) - before > count // 20, "many would have trained"


def written(place, suffixes):
    """What a command wrote, taken away: of these kinds and whole; nothing else changed."""
    after = contents(place.folder)
    new = {path: content for path, content in after.items() if path not in place.files}
    assert {path: after[path] for path in place.files} == place.files
    for path in new:
        assert Path(path).suffix in suffixes
        os.unlink(path)
    return new


@counts(200, 400)
def test_exports_of_noise(place, count):
    codes = []
    starts = [[f"--export=out.{kind}", "--dataset=digits"] for kind in ("csv", "npz")]

    @fuzz(count)
    @given(lines([*starts, [], ["--export=out.csv"], ["--help"]], ["export"] * 4))
    @example(["--dataset=digits", "--export=file/out.csv"])
    def run(argv):
        done = judged(noise_command.main, argv)
        codes.append(done.code)
        for path in list(contents(place.folder)):
            if path not in place.files:
                assert len(noise_file.read(path).index) >= 1 and done.code == 0
        written(place, (".csv", ".npz"))

    run()
    assert min(codes.count(0), codes.count(2)) > count // 10 and 6 in codes


@counts(200, 400)
def test_pictures(place, count):
    codes = []
    starts = [["done/run"], ["done/run", "done/$x$"], ["--dataset=digits"], ["folder"], []]

    @fuzz(count)
    @given(lines(starts, ["out", "curve"] * 4))
    @example(["done/run", "--out=file/out.png"])
    def run(argv):
        done = judged(show.main, argv)
        codes.append(done.code)
        new = written(place, (".png",))
        assert all(content.startswith(b"\x89PNG") for content in new.values())
        assert len(new) <= (done.code == 0 and "--help" not in argv)

    with pytest.MonkeyPatch.context() as patch:
        # Drawing is the same for all of them, and slow: test_fuzz_files.py draws.
        patch.setattr(show, "_curves", lambda folders, loss=False, check=show._curves: None)
        patch.setattr(
            "rethink_tf.plotting.style.pixels_of", lambda _: np.zeros([4, 4, 3], np.uint8)
        )
        run()
    assert min(codes.count(0), codes.count(2)) > count // 10 and 6 in codes


AUDIT_FLAGS = [
    "--true",
    "--again",
    "--p",
    "--noise",
    "--num_classes",
    "--help",
    "-h",
    "--tru",
    "--x",
]


@st.composite
def audits(draw):
    """Command lines of the audit of labels."""
    starts = [[], ["noise.csv"], ["noise.npz"], ["part.npz", "--p=0.5"], ["part.npz", "--p=0.4"]]
    argv = draw(st.sampled_from(starts))
    for _ in range(draw(st.integers(0, 2))):
        name = draw(st.sampled_from(AUDIT_FLAGS))
        value = draw(st.sampled_from([*PATHS, *ODD, "uniform", "noise.npz", "0.5", "10", "2048"]))
        argv = argv + draw(st.sampled_from([[f"{name}={value}"], [name, value], [name], [value]]))
    return argv


@counts(200, 400)
def test_audits_of_labels(place, count):
    codes = []

    @fuzz(count)
    @given(audits())
    @example(["part.npz", "--p=0.9"])
    def run(argv):
        codes.append(audited(argv).code)

    run()
    assert contents(place.folder) == place.files
    assert min(codes.count(0), codes.count(2)) > count * 3 // 40 and 3 in codes
