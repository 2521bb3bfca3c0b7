"""The flags: one for each field, parsed privately, refused in one line, and a help that reads."""

import dataclasses
import re

import pytest
from absl import flags

from rethink_tf.config import fields
from rethink_tf.config import flags as command_line
from rethink_tf.config.command_line import DEEPEST, CommandLine, FlagSet
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
        (["--modle=alexnet"], "unknown flag --modle; did you mean --model?"),
        (["--weight-decay=1"], "unknown flag --weight-decay; did you mean --weight_decay?"),
        (["--zzzzzz=1"], "unknown flag --zzzzzz; --help lists the flags"),
        (["--nocorrupt"], "unknown flag --nocorrupt; did you mean --corrupt?"),
        (["--helpfull"], "unknown flag --helpfull; did you mean --help?"),
        (["--verbosity=1"], "unknown flag --verbosity"),
        (["--epochs=1.5"], "--epochs: expected a whole number from 1 to 1000000, received '1.5'"),
        (["--epochs=ten"], "--epochs: expected a whole number from 1 to 1000000, received 'ten'"),
        (["--corrupt=half"], "--corrupt: expected a number from 0.0 to 1.0, received 'half'"),
        (["--dry_run=maybe"], "--dry_run: expected true or false, received 'maybe'"),
        (["--dry_run=a: b"], "--dry_run: expected true or false, received 'a: b'"),
        (["--model"], "--model: expected a value, as in --model=VALUE; received none"),
        (["--seed="], "--seed: expected a whole number from 0 to 4294967295, received ''"),
        (["inception"], "expected flags only (--name=value), received 'inception'"),
        (["--seed=1", "--", "--epochs=2"], "expected flags only (--name=value), received '--epoch"),
        (["--threads=-1"], "--threads: expected a whole number from 0 to 4096, received -1"),
        (["--threads=4097"], "--threads: expected a whole number from 0 to 4096, received 4097"),
        (
            ["--checkpoint_every=-1"],
            "--checkpoint_every: expected a whole number from 0 to 1000000",
        ),
        (["--keep_epochs=1,x"], "--keep_epochs: expected epochs such as 1,5,20, received 1,x"),
        (["--keep_epochs=-1"], "--keep_epochs: expected epochs such as 1,5,20, received -1"),
        (["--resume=anyhow"], "received anyhow; did you mean --resume=anyway?"),
        (
            ["--flagfile=/no/such.flags"],
            "--flagfile=/no/such.flags: expected a file of flags; No such file or directory",
        ),
        (["--flagfile=/"], "Is a directory"),
        (["--flagfile"], "--flagfile"),
    ],
)
def test_refused_with_one_line(argv, message):
    with pytest.raises(RequestError) as error:
        parse(argv)
    assert message in str(error.value) and "\n" not in str(error.value)


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
    with pytest.raises(RequestError, match="inner.flags"):
        parse([f"--flagfile={outer}"])


@pytest.mark.parametrize(
    "content, message",
    [
        (b"--modle=alexnet\n", "unknown flag --modle; did you mean --model?"),
        (b"--epochs=x\n", "--epochs: expected a whole number from 1 to 1000000, received 'x'"),
        (b"inception\n", "expected flags only (--name=value), received 'inception'"),
        (b"\xff\xfe\x00", "--flagfile: cannot be read"),
    ],
)
def test_a_bad_flagfile_is_refused(tmp_path, content, message):
    file = tmp_path / "run.flags"
    file.write_bytes(content)
    with pytest.raises(RequestError) as error:
        parse([f"--flagfile={file}"])
    assert message in str(error.value) and "\n" not in str(error.value)


def chain(folder, count, last="--seed=7\n"):
    """So many flagfiles, each within the one before; the first."""
    for number in range(count):
        inner = f"--flagfile={folder}/{number + 1}.flags\n" if number < count - 1 else last
        (folder / f"{number}.flags").write_text(f"# {number}\n{inner}")
    return f"--flagfile={folder}/0.flags"


@pytest.mark.parametrize("count", [DEEPEST + 2, 1500])
def test_flagfiles_that_are_too_deep_are_called_that(tmp_path, count):
    with pytest.raises(RequestError, match="that include each other at most 50 deep") as error:
        parse([chain(tmp_path, count)])
    assert str(error.value).startswith(f"--flagfile={tmp_path}/0.flags: ")


def test_flagfiles_within_each_other_up_to_the_limit(tmp_path):
    assert parse([chain(tmp_path, DEEPEST + 1)])[0] == RunConfig(seed=7)
    first, path = f"{tmp_path}/0.flags", chain(tmp_path, 40, f"--flagfile={tmp_path}/0.flags\n")
    with pytest.raises(RequestError, match="expected a file that does not include itself"):
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
        "also any wrn_DEPTH_WIDTH; one of inception, inception_no_bn, alexnet,",
        "[cifar10 if it is on disk or can be downloaded, else digits]",
        "--momentum momentum of SGD [0.9]",
        "--seed seed of everything that is drawn [0]",
        "folder of the runs; each run has its own folder RUNS_DIR/<run_id> [runs]",
        "one of auto, one_device, mirrored, multi_worker [auto]",
        "one of exact, anyway, restart [exact]",
        "--dry_run print the resolved configuration, run id, parameters and memory, then stop "
        "[false]",
        "--examples number of training examples, class-balanced; a larger number has those of a "
        "smaller one and more [all]",
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


# A command of its own: the one reader of command lines, without a run's flags.


@dataclasses.dataclass(frozen=True)
class Small:
    """A docstring that no help shows."""

    count: int = fields.field(3, int, "how many", group="First", low=1)
    size: int | None = fields.field(
        None, int, "how large", group="Second", low=1, high=9, by="as there is room"
    )
    share: float = fields.field(
        0.5, float, "a share", group="First", low=0.0, high=1.0, open_ends="low high"
    )
    name: str = fields.field("x", str, "what it is called", group="First")
    look: str = fields.field("light", str, "the look", group="First", choices=("light", "dark"))
    fast: bool = fields.field(False, bool, "without checks", group="First")
    trace: str | None = fields.field(None, "optional", "a folder", group="First", by="none")
    stops: tuple[int, ...] = fields.field((), "epochs", "stops", group="First", low=1, by="none")
    parts: tuple[int, ...] | None = fields.field(
        None, "ints", "parts", group="First", low=2, high=50, by="all"
    )


@dataclasses.dataclass(frozen=True)
class Other:
    """One more."""

    place: str = fields.field("here", str, "where it lies", group="Second")
    hidden: int = fields.field(0, int, "not for this command", group="Second", low=0, high=5)


ABOUT = """
Does something.

Then something else.
"""
WITH_WORDS = CommandLine(
    "small", ABOUT, (Small,), positionals="FILE [FILE ...]", positionals_help="FILE: a file"
)
NO_WORDS = CommandLine("small", ABOUT, (Small, FlagSet(Other, ("place",), {"place": "there"})))


@pytest.mark.parametrize(
    "argv",
    [
        ["a", "b", "--count=5", "--fast"],
        ["--count=5", "a", "--fast", "b"],
        ["--count", "5", "--fast", "a", "b"],
        ["a", "--count=5", "b", "--fast"],
        ["--fast", "--count=5", "--", "a", "b"],
    ],
)
def test_positional_arguments_stand_anywhere(argv):
    parsed = WITH_WORDS.parse(argv)
    assert parsed.positionals == ("a", "b")
    assert parsed.typed == {"count": 5, "fast": True}
    assert parsed[Small] == Small(count=5, fast=True)


def test_after_two_hyphens_all_are_positional():
    assert WITH_WORDS.parse(["a", "--", "--count=5", "-"]).positionals == ("a", "--count=5", "-")


def test_a_flagfile_stands_beside_positional_arguments(tmp_path):
    (tmp_path / "f").write_text("--count=5\n# a comment\n--stops=3,1\n")
    for argv in (["a", f"--flagfile={tmp_path}/f"], [f"--flagfile={tmp_path}/f", "a"]):
        parsed = WITH_WORDS.parse(argv)
        assert parsed.positionals == ("a",) and parsed[Small] == Small(count=5, stops=(1, 3))


def test_values_are_in_their_own_types():
    argv = ["--size=7", "--share=1e-3", "--stops=5, 2,5,", "--parts=9,2", "--trace", "--look=dark"]
    found = NO_WORDS.parse(argv)[Small]
    assert found == Small(size=7, share=0.001, stops=(2, 5), parts=(9, 2), trace="", look="dark")
    assert type(found.size) is int and type(found.share) is float
    assert type(NO_WORDS.parse(["--share=.25"]).typed["share"]) is float
    assert NO_WORDS.parse(["--trace=t"])[Small].trace == "t"
    assert NO_WORDS.parse(["--notrace"])[Small].trace is None
    assert NO_WORDS.parse(["--fast", "--nofast"])[Small].fast is False
    for text, value in {"true": True, "True": True, "1": True, "f": False, "FALSE": False}.items():
        assert NO_WORDS.parse([f"--fast={text}"]).typed == {"fast": value}


def test_what_is_not_typed_is_the_default():
    parsed = NO_WORDS.parse([])
    assert (parsed.positionals, parsed.typed) == ((), {})
    assert parsed[Small] == Small() and parsed[Other] == Other()


def test_a_set_may_have_some_fields_only():
    assert NO_WORDS.parse(["--place=p"])[Other] == Other(place="p")
    with pytest.raises(RequestError, match="unknown flag --hidden"):
        NO_WORDS.parse(["--hidden=1"])


def test_what_is_checked_later_keeps_its_value():
    line = CommandLine("small", ABOUT, (FlagSet(Small, checked=False),))
    assert line.parse(["--count=-5", "--look=odd", "--share=7"])[Small] == Small(
        count=-5, look="odd", share=7.0
    )
    with pytest.raises(RequestError, match="--count: expected a whole number of at least 1"):
        line.parse(["--count=x"])


@pytest.mark.parametrize(
    "flag, told",
    [
        ("--count=0", "--count: expected a whole number of at least 1, received 0"),
        ("--count=abc", "--count: expected a whole number of at least 1, received 'abc'"),
        ("--count=1.5", "--count: expected a whole number of at least 1, received '1.5'"),
        ("--count=", "--count: expected a whole number of at least 1, received ''"),
        ("--size=10", "--size: expected a whole number from 1 to 9, received 10"),
        ("--size=none", "--size: expected a whole number from 1 to 9, received 'none'"),
        ("--share=0", "--share: expected a number above 0.0 below 1.0, received 0.0"),
        ("--share=1", "--share: expected a number above 0.0 below 1.0, received 1.0"),
        ("--share=nan", "--share: expected a number above 0.0 below 1.0, received nan"),
        ("--share=1e999", "--share: expected a number above 0.0 below 1.0, received inf"),
        ("--share=half", "--share: expected a number above 0.0 below 1.0, received 'half'"),
        (
            "--look=drak",
            "--look: expected one of light, dark; received drak; did you mean --look=dark",
        ),
        ("--look=", "--look: expected one of light, dark; received "),
        ("--fast=", "--fast: expected true or false, received ''"),
        ("--help=maybe", "--help: expected true or false, received 'maybe'"),
        ("--fast=maybe", "--fast: expected true or false, received 'maybe'"),
        ("--fast=a=b: c", "--fast: expected true or false, received 'a=b: c'"),
        ("--stops=0", "--stops: expected epochs such as 1,5,20, received 0"),
        ("--stops=1;2", "--stops: expected epochs such as 1,5,20, received 1;2"),
        ("--parts=1", "--parts: expected numbers from 2 to 50, such as 2,50, received 1"),
        ("--parts=51", "--parts: expected numbers from 2 to 50, such as 2,50, received 51"),
        ("--parts=2,", "--parts: expected numbers from 2 to 50, such as 2,50, received 2,"),
        ("--parts=", "--parts: expected numbers from 2 to 50, such as 2,50, received "),
        ("--name=a\0b", "--name: expected text without null characters, 'a\\x00b' came"),
        ("--name=\udcff\ud800", "--name: expected text without null characters"),
        ("--coutn=1", "unknown flag --coutn; did you mean --count?"),
        ("--flagfil=x", "unknown flag --flagfil; did you mean --flagfile?"),
        ("--hlep", "unknown flag --hlep; did you mean --help?"),
        ("--nocount", "unknown flag --nocount; did you mean --count?"),
        ("--zzzzzzz", "unknown flag --zzzzzzz; --help lists the flags"),
        ("--" + "y" * 5000, "unknown flag --yyyy"),
        ("word", "expected flags only (--name=value), received 'word'"),
    ],
)
def test_a_bad_value_is_refused_with_what_was_expected(flag, told):
    with pytest.raises(RequestError) as error:
        NO_WORDS.parse(["--fast", flag])
    assert str(error.value).startswith(told) and "\n" not in str(error.value)


def test_a_long_value_is_cut_in_its_refusal():
    with pytest.raises(RequestError) as error:
        NO_WORDS.parse(["--count=" + "x" * 5000])
    assert len(str(error.value)) < 200


def test_positional_arguments_that_can_name_no_file_are_refused():
    with pytest.raises(RequestError, match="an argument: expected text without null characters"):
        WITH_WORDS.parse(["a\0b"])


@pytest.mark.parametrize(
    "content, told",
    [
        ("--count=0\n", "--count: expected a whole number of at least 1, received 0"),
        ("--coutn=1\n", "unknown flag --coutn; did you mean --count?"),
        ("--count\n", "--count: expected a value, as in --count=VALUE; received none"),
        (
            "--flagfile=FOLDER/own\n",
            "--flagfile=FOLDER/own: expected a file that does not include it",
        ),
        ("--flagfile=FOLDER/none\n", "--flagfile=FOLDER/none: expected a file of flags; No such"),
        ("word\n", "expected flags only (--name=value), received 'word'"),
        ("--name=a\0b\n", "--name: expected text without null characters"),
    ],
)
def test_a_fault_in_a_flagfile_is_one_line(content, told, tmp_path):
    (tmp_path / "own").write_text(content.replace("FOLDER", str(tmp_path)))
    with pytest.raises(RequestError) as error:
        NO_WORDS.parse([f"--flagfile={tmp_path}/own"])
    words = str(error.value)
    assert words.startswith(told.replace("FOLDER", str(tmp_path))) and "\n" not in words


@pytest.mark.parametrize(
    "make",
    [
        lambda path: None,
        lambda path: path.mkdir(),
        lambda path: path.write_bytes(b"\xff\xfe\0"),
        lambda path: path.symlink_to(path),
    ],
)
def test_a_flagfile_that_is_none_is_one_line(make, tmp_path):
    make(tmp_path / "own")
    with pytest.raises(RequestError) as error:
        NO_WORDS.parse([f"--flagfile={tmp_path}/own"])
    told = str(error.value)
    assert told.startswith(("--flagfile: ", f"--flagfile={tmp_path}/own: ")) and "\n" not in told


def test_help_comes_before_the_values():
    assert NO_WORDS.parse(["--help", "--count=0"]) is None
    assert NO_WORDS.parse(["--count=0", "--help"]) is None
    assert NO_WORDS.parse(["--nohelp"]) is not None
    with pytest.raises(RequestError, match="unknown flag"):
        NO_WORDS.parse(["--help", "--coutn=0"])


def test_a_command_prints_its_help_or_does_what_is_asked(capsys):
    asked = []

    def body(parsed):
        asked.append(parsed[Small].count)
        return 3

    assert NO_WORDS.run(["--count=5"], body) == 3
    assert asked == [5] and capsys.readouterr().out == ""
    assert NO_WORDS.run(["--count=5", "--help"], body) == 0
    assert asked == [5] and capsys.readouterr().out == NO_WORDS.help() + "\n"
    with pytest.raises(RequestError, match="--count: expected"):
        NO_WORDS.run(["--count=0"], body)


@pytest.mark.parametrize(
    "least, most, argv, told",
    [
        (1, 1, [], "expected one FILE, received none; small --help explains it"),
        (1, 1, ["a", "b"], "expected one FILE, received 2; small --help explains it"),
        (0, 1, ["a", "b"], "expected 0 to one FILE, received 2; small --help explains it"),
        (1, None, [], "expected at least one FILE, received none; small --help explains it"),
        (2, 3, ["a"], "expected 2 to 3 FILE, received 1; small --help explains it"),
    ],
)
def test_too_many_or_too_few_positional_arguments_are_refused(least, most, argv, told):
    line = CommandLine("small", ABOUT, (Small,), "[FILE ...]", "FILE: a file", least, most)
    with pytest.raises(RequestError) as error:
        line.parse(argv)
    assert str(error.value) == told
    assert line.parse(["--help"]) is None, "help needs none of them"
    with pytest.raises(RequestError, match="--count: expected"):
        line.parse(["--count=0"])
    right = [str(number) for number in range(least)]
    assert line.parse(right).positionals == tuple(right)


def test_help_to_the_letter():
    assert (
        NO_WORDS.help()
        == """\
small [--flagfile=FILE] [--name=value ...]

Does something.

Then something else.

First:
  --count                   how many [3]
  --share                   a share [0.5]
  --name                    what it is called [x]
  --look                    the look; one of light, dark [light]
  --fast                    without checks [false]
  --trace                   a folder [none]
  --stops                   stops [none]
  --parts                   parts [all]

Second:
  --size                    how large [as there is room]
  --place                   where it lies [there]

For every command:
  --flagfile                file of flags, one per line; the later of two equal flags counts
  --help                    print this help"""
    )
    with_words = WITH_WORDS.help().splitlines()
    assert with_words[0] == "small FILE [FILE ...] [--flagfile=FILE] [--name=value ...]"
    assert with_words[6:9] == ["FILE: a file", "", "First:"]


def test_a_default_of_the_command_replaces_the_fields_own():
    @dataclasses.dataclass(frozen=True)
    class Own:
        many: int | None = fields.field(None, int, "how many [all]", group="First", low=1)

    shown = CommandLine("own", "Does.", (FlagSet(Own, defaults={"many": "ten"}),)).help()
    assert "  --many                    how many [ten]\n" in shown
    assert (
        "  --many                    how many [all]\n" in CommandLine("own", "Does.", (Own,)).help()
    )
