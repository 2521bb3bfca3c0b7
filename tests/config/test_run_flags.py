"""The flags: one for each field, parsed privately, refused in one line, and a help that reads."""

import dataclasses
import re

import pytest
from absl import flags

from rethink_tf.config import flags as command_line
from rethink_tf.config.command_line import DEEPEST
from rethink_tf.config.flags import Options, parse
from rethink_tf.config.run_config import FIELDS, OF_THE_PARENT, RunConfig
from rethink_tf.errors import RequestError

# field: what is typed, what it becomes
TYPED = {
    "model": ("alexnet", "alexnet"),
    "dataset": ("mnist", "mnist"),
    "examples": ("5000", 5000),
    "input_size": ("24", 24),
    "corrupt": ("1", 1.0),
    "label_noise": ("pair_flip", "pair_flip"),
    "labels_from": ("noise.csv", "noise.csv"),
    "pixels": ("shuffled", "shuffled"),
    "pixel_mix": (".25", 0.25),
    "shuffle_fraction": ("0.5", 0.5),
    "test_pixels": ("original", "original"),
    "augment": ("crop", "crop"),
    "weight_decay": ("4e-5", 4e-5),
    "dropout": ("0.5", 0.5),
    "learning_rate": ("0.02", 0.02),
    "lr_decay": ("0.999", 0.999),
    "momentum": ("0", 0.0),
    "batch_size": ("64", 64),
    "epochs": ("3", 3),
    "precision": ("mixed_bfloat16", "mixed_bfloat16"),
    "sync_batch_norm": ("true", True),
    "seed": ("4294967295", 2**32 - 1),
    "eval_every": ("10", 10),
    "held_out": ("100", 100),
    "stop_at_train_accuracy": ("1.0", 1.0),
    "preprocess": ("channel_norm", "channel_norm"),
    "lr_schedule": ("step", "step"),
    "warmup_epochs": ("5", 5),
    "optimizer": ("adamw", "adamw"),
    "lr_milestones": ("30,40", "30,40"),
    "init_from": ("runs/some", "runs/some"),
    "init_epoch": ("20", 20),
    "freeze": ("all_but_last", "all_but_last"),
}
OPTIONS = {
    "runs_dir": ("r", "r"),
    "data_dir": ("d", "d"),
    "cache_dir": ("c", "c"),
    "dry_run": ("true", True),
    "verbose": ("true", True),
    "threads": ("2", 2),
    "strategy": ("mirrored", "mirrored"),
    "devices": ("2", 2),
    "deterministic": ("true", True),
    "checkpoint_every": ("0", 0),
    "keep_epochs": ("20, 5,5,1", (1, 5, 20)),
    "resume": ("restart", "restart"),
    "profile": ("traces", "traces"),
}


def test_no_field_and_no_option_is_missing_from_the_tables():
    assert set(TYPED) == set(FIELDS)
    assert set(OPTIONS) == {field.name for field in dataclasses.fields(Options)}
    assert not set(FIELDS) & set(OPTIONS), "an option is no part of a run's identity"


def test_nothing_typed_is_the_defaults():
    assert parse([]) == (RunConfig(), Options())
    assert Options() == Options(
        "runs", None, None, False, False, 0, "auto", 0, False, 5, (), "exact", None
    )


@pytest.mark.parametrize("name", TYPED)
def test_each_field_has_a_flag(name):
    text, value = TYPED[name]
    switch = isinstance(value, bool)
    left = dict.fromkeys(OF_THE_PARENT) if name == "init_from" else {}  # to be the parent's
    apart = [f"--{name}"] if switch else [f"--{name}", text]
    for argv in ([f"--{name}={text}"], apart, [f"-{name}={text}"]):
        wanted, options = parse(argv)
        assert wanted == dataclasses.replace(RunConfig(), **{name: value}, **left)
        assert type(getattr(wanted, name)) is type(value)
        assert options == Options()


def test_what_is_typed_beside_a_parent_is_kept():
    wanted, _ = parse(["--model=inception", "--init_from=x", "--input_size=20"])
    assert (wanted.model, wanted.input_size, wanted.preprocess) == ("inception", 20, None)


@pytest.mark.parametrize("name", OPTIONS)
def test_each_option_has_a_flag(name):
    text, value = OPTIONS[name]
    assert parse([f"--{name}={text}"]) == (RunConfig(), Options(**{name: value}))


def test_a_switch_needs_no_value():
    assert parse(["--dry_run"])[1].dry_run is True
    assert parse(["--dry_run", "--nodry_run"])[1].dry_run is False


@pytest.mark.parametrize(
    "argv, message",
    [
        (["--modle=alexnet"], r"unknown flag --modle; did you mean --model\?"),
        (["--weight-decay=1"], r"unknown flag --weight-decay; did you mean --weight_decay\?"),
        (["--zzzzzz=1"], "unknown flag --zzzzzz; --help lists the flags"),
        (["--nocorrupt"], r"unknown flag --nocorrupt; did you mean --corrupt\?"),
        (["--helpfull"], r"unknown flag --helpfull; did you mean --help\?"),
        (["--verbosity=1"], "unknown flag --verbosity"),
        (["--epochs=1.5"], r"--epochs: .*from 1 to 1000000, received '1\.5'"),
        (["--epochs=ten"], "--epochs: .*from 1 to 1000000, received 'ten'"),
        (["--corrupt=half"], r"--corrupt: expected a number from 0\.0 to 1\.0, received 'half'"),
        (["--dry_run=maybe"], "--dry_run: expected true or false, received 'maybe'"),
        (["--dry_run=a: b"], "--dry_run: expected true or false, received 'a: b'"),
        (["--model"], "--model: expected a value, as in --model=VALUE; received none"),
        (["--seed="], "--seed: .*from 0 to 4294967295, received ''"),
        (["inception"], r"expected flags only \(--name=value\), received 'inception'"),
        (
            ["--seed=1", "--", "--epochs=2"],
            r"expected flags only \(--name=value\), received '--epoch",
        ),
        (["--threads=-1"], "--threads: .*from 0 to 4096, received -1"),
        (["--threads=4097"], "--threads: .*from 0 to 4096, received 4097"),
        (
            ["--checkpoint_every=-1"],
            "--checkpoint_every: .*from 0 to 1000000, received -1",
        ),
        (["--keep_epochs=1,x"], "--keep_epochs: expected epochs such as 1,5,20, received 1,x"),
        (["--keep_epochs=-1"], "--keep_epochs: expected epochs such as 1,5,20, received -1"),
        (["--resume=anyhow"], r"did you mean --resume=anyway\?"),
        (
            ["--flagfile=/no/such.flags"],
            r"--flagfile=/no/such\.flags: .*No such file or directory",
        ),
        (["--flagfile=/"], "Is a directory"),
        (["--flagfile"], "--flagfile"),
    ],
)
def test_refused_with_one_line(argv, message):
    with pytest.raises(RequestError) as error:
        parse(argv)
    assert re.search(message, str(error.value)) and "\n" not in str(error.value)


def test_a_flagfile_with_comments_and_blank_lines(tmp_path):
    file = tmp_path / "run.flags"
    file.write_text("# A row.\n\n--model=alexnet\n// another comment\n--corrupt=0.5\n--dry_run\n")
    expected = RunConfig(model="alexnet", corrupt=0.5), Options(dry_run=True)
    assert parse([f"--flagfile={file}"]) == parse(["--flagfile", str(file)]) == expected


def test_what_is_typed_later_wins(tmp_path):
    file = tmp_path / "run.flags"
    file.write_text("--seed=1\n--epochs=5\n")
    assert parse([f"--flagfile={file}", "--seed=2"])[0] == RunConfig(seed=2, epochs=5)
    assert parse(["--seed=2", f"--flagfile={file}"])[0] == RunConfig(seed=1, epochs=5)
    assert parse(["--seed=1", "--seed=3"])[0] == RunConfig(seed=3)


def test_a_flagfile_includes_another(tmp_path):
    inner, outer = tmp_path / "inner.flags", tmp_path / "outer.flags"
    inner.write_text("--seed=1\n--epochs=5\n")
    outer.write_text(f"--flagfile={inner}\n--seed=7\n")
    assert parse([f"--flagfile={outer}"])[0] == RunConfig(seed=7, epochs=5)
    inner.unlink()
    with pytest.raises(RequestError, match=r"inner\.flags: expected a file of flags"):
        parse([f"--flagfile={outer}"])


@pytest.mark.parametrize(
    "content, message",
    [
        (b"--modle=alexnet\n", r"unknown flag --modle; did you mean --model\?"),
        (b"--epochs=x\n", "--epochs: .*from 1 to 1000000, received 'x'"),
        (b"inception\n", r"expected flags only \(--name=value\), received 'inception'"),
        (b"\xff\xfe\x00", r"--flagfile=.*run\.flags: expected a file of flags, which is text"),
    ],
)
def test_a_bad_flagfile_is_refused(tmp_path, content, message):
    file = tmp_path / "run.flags"
    file.write_bytes(content)
    with pytest.raises(RequestError) as error:
        parse([f"--flagfile={file}"])
    assert re.search(message, str(error.value)) and "\n" not in str(error.value)


def chain(folder, count, last="--seed=7\n"):
    """So many flagfiles, each within the one before; the first."""
    for number in range(count):
        inner = f"--flagfile={folder}/{number + 1}.flags\n" if number < count - 1 else last
        (folder / f"{number}.flags").write_text(f"# {number}\n{inner}")
    return f"--flagfile={folder}/0.flags"


@pytest.mark.parametrize("count", [DEEPEST + 2, 1500])
def test_flagfiles_that_are_too_deep_are_called_that(tmp_path, count):
    with pytest.raises(RequestError, match="at most 50 deep") as error:
        parse([chain(tmp_path, count)])
    assert str(error.value).startswith(f"--flagfile={tmp_path}/0.flags: ")


def test_flagfiles_within_each_other_up_to_the_limit(tmp_path):
    assert parse([chain(tmp_path, DEEPEST + 1)])[0] == RunConfig(seed=7)
    first, path = f"{tmp_path}/0.flags", chain(tmp_path, 40, f"--flagfile={tmp_path}/0.flags\n")
    with pytest.raises(RequestError, match="does not include itself"):
        parse(["--flagfile", first])
    assert path.endswith(first)


def test_a_long_unknown_flag_out_of_a_flagfile_is_named(tmp_path):
    (tmp_path / "a.flags").write_text(f"--{'x' * 3000}=1\n")
    with pytest.raises(RequestError, match="^unknown flag --xxxxxxxx"):
        parse([f"--flagfile={tmp_path}/a.flags"])


def test_parsing_leaves_no_trace():
    before = set(flags.FLAGS)
    first = parse(["--seed=5", "--dry_run"])
    with pytest.raises(RequestError):
        parse(["--seed=x"])
    assert parse([]) == (RunConfig(), Options())
    assert parse(["--seed=5", "--dry_run"]) == first
    assert set(flags.FLAGS) == before, "flags are private to the call"
    assert "corrupt" not in flags.FLAGS and "runs_dir" not in flags.FLAGS


def test_help_is_asked_for():
    assert parse(["--help"]) is None
    assert parse(["--help", "--seed=1"]) is None


def test_help_lists_our_flags_once_each_and_nobody_elses():
    text = command_line.LINE.help()
    listed = re.findall(r"^  --(\w+)", text, re.MULTILINE)
    assert sorted(listed) == sorted([*TYPED, *OPTIONS, "flagfile", "help"])
    for name in FIELDS:
        assert re.search(rf"^  --{name} {{2,}}\S", text, re.MULTILINE), name


def test_help_fits_and_is_grouped():
    lines = command_line.LINE.help().splitlines()
    assert max(map(len, lines)) <= 100
    assert not [line for line in lines if line != line.rstrip()]
    groups = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert groups == [
        "What is trained:",
        "What is corrupted:",
        "Regularisation:",
        "Optimisation:",
        "Transfer:",
        "Evaluation and stopping:",
        "Folders and execution (recorded, but not part of the run id):",
        "For every command:",
    ]


def test_help_states_defaults_and_choices():
    words = " ".join(command_line.LINE.help().split())
    for phrase in (
        "or any wrn_DEPTH_WIDTH; one of inception, inception_no_bn, alexnet,",
        "[cifar10 if it is on disk or can be downloaded, else digits]",
        "--momentum momentum of SGD [0.9]",
        "--seed seed of all random draws [0]",
        "folder of the runs; each run has its own folder RUNS_DIR/<run_id> [runs]",
        "one of auto, one_device, mirrored, multi_worker [auto]",
        "one of exact, anyway, restart [exact]",
        "--dry_run print the resolved configuration, run id, parameters and memory, then stop "
        "[false]",
        "--examples number of training examples, class-balanced; a larger subset contains the "
        "smaller ones [all]",
    ):
        assert phrase in words


def test_every_entry_of_help_has_one_style():
    words = " ".join(command_line.LINE.help().split("What is trained:")[1].split())
    entries = re.split(r" --(?=\w+ (?!alone))", words)
    texts = dict(entry.split(" ", 1) for entry in entries if entry.split(" ", 1)[0] in OPTIONS)
    assert sorted(texts) == sorted(OPTIONS)
    for name, field in FIELDS.items():
        texts[name] = field.metadata["help"]
        assert not texts[name].endswith(".")
        assert texts[name][:1].islower()
        assert field.default is not None or field.metadata["by"] or texts[name].endswith("]")
    for name in OPTIONS:
        assert texts[name][0].islower() or texts[name].startswith("GPUs"), name
        assert "[" in texts[name], f"{name}: no default"
