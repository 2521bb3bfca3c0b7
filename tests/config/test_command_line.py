"""The reader of command lines, by a small command without a run's flags."""

import dataclasses
import re

import pytest

from rethink_tf.config import command_line, fields
from rethink_tf.config.command_line import CommandLine, FlagSet
from rethink_tf.errors import RequestError


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
    with pytest.raises(RequestError, match="--count: .*at least 1, received 'x'"):
        line.parse(["--count=x"])


@pytest.mark.parametrize(
    "flag, told",
    [
        ("--count=0", "--count: .*at least 1, received 0"),
        ("--count=abc", "--count: .*at least 1, received 'abc'"),
        ("--count=1.5", r"--count: .*at least 1, received '1\.5'"),
        ("--count=", "--count: .*at least 1, received ''"),
        ("--size=10", "--size: .*from 1 to 9, received 10"),
        ("--size=none", "--size: .*from 1 to 9, received 'none'"),
        ("--share=0", r"--share: expected a number above 0\.0 below 1\.0, received 0\.0"),
        ("--share=1", r"--share: expected a number above 0\.0 below 1\.0, received 1\.0"),
        ("--share=nan", r"--share: expected a number above 0\.0 below 1\.0, received nan"),
        ("--share=1e999", r"--share: expected a number above 0\.0 below 1\.0, received inf"),
        ("--share=half", r"--share: expected a number above 0\.0 below 1\.0, received 'half'"),
        (
            "--look=drak",
            "--look: .*light, dark; received drak; did you mean --look=dark",
        ),
        ("--look=", "--look: expected one of light, dark; received ''$"),
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
        ("--name=a\0b", r"--name: .*without null characters, 'a\\x00b' came"),
        ("--name=\udcff\ud800", "--name: expected text without null characters"),
        ("--name=", "--name: expected a value, as in --name=VALUE; received ''"),
        ("--flagfile=", "--flagfile: expected a file, as in --flagfile=FILE; received none"),
        ("--flagfile", "--flagfile: expected a file, as in --flagfile=FILE; received none"),
        ("name=a", r"expected flags only .*received 'name=a'; did you mean --name=a\?$"),
        ("\u2013count=3", r"expected flags only .*; did you mean --count=3\?$"),
        ("--count =3", "unknown flag --count ; write --count=VALUE, without spaces before the =$"),
        ("--coutn=1", r"unknown flag --coutn; did you mean --count\?"),
        ("--flagfil=x", r"unknown flag --flagfil; did you mean --flagfile\?"),
        ("--hlep", r"unknown flag --hlep; did you mean --help\?"),
        ("--nocount", r"unknown flag --nocount; did you mean --count\?"),
        ("--zzzzzzz", "unknown flag --zzzzzzz; --help lists the flags"),
        ("--" + "y" * 5000, "unknown flag --yyyy"),
        ("word", r"expected flags only \(--name=value\), received 'word'"),
    ],
)
def test_a_bad_value_is_refused_with_what_was_expected(flag, told):
    with pytest.raises(RequestError) as error:
        NO_WORDS.parse(["--fast", flag])
    assert re.search(told, str(error.value)) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "typed, meant",
    [
        ("lr", "learning_rate"),
        ("bs", "batch_size"),
        ("batch", "batch_size"),
        ("batch-size", "batch_size"),
        ("opt", "optimizer"),
        ("Dropout", "dropout"),
        ("lerning_rate", "learning_rate"),
        ("out", None),
        ("crop", None),
        ("x", None),
        ("-", None),
    ],
)
def test_the_flag_that_was_meant(typed, meant):
    known = ["dropout", "learning_rate", "lr_decay", "batch_size", "optimizer"]
    assert command_line.nearest(typed, known) == meant


def test_a_long_value_is_cut_in_its_refusal():
    with pytest.raises(RequestError) as error:
        NO_WORDS.parse(["--count=" + "x" * 5000])
    assert len(str(error.value)) < 200


def test_positional_arguments_that_can_name_no_file_are_refused():
    with pytest.raises(RequestError, match="text without null characters"):
        WITH_WORDS.parse(["a\0b"])


@pytest.mark.parametrize(
    "content, told",
    [
        ("--count=0\n", "--count: expected a whole"),
        ("--coutn=1\n", "unknown flag --coutn; did you mean --count?"),
        ("--count\n", "--count: expected a value"),
        (
            "--flagfile=FOLDER/own\n",
            "--flagfile=FOLDER/own: expected a file that",
        ),
        ("--flagfile=FOLDER/none\n", "--flagfile=FOLDER/none: expected a file of"),
        ("word\n", "expected flags only (--name=value), received 'word'"),
        ("--name=a\0b\n", "--name: expected text"),
    ],
)
def test_a_fault_in_a_flagfile_is_one_line(content, told, tmp_path):
    (tmp_path / "own").write_text(content.replace("FOLDER", str(tmp_path)))
    with pytest.raises(RequestError) as error:
        NO_WORDS.parse([f"--flagfile={tmp_path}/own"])
    words = str(error.value)
    assert words.startswith(told.replace("FOLDER", str(tmp_path))) and "\n" not in words


@pytest.mark.parametrize(
    "content, told",
    [
        ("# one\n\n--count=2\n  --coutn=1\n", "did you mean --count? (PATH, line 4)"),
        ("--fast\nname=a\n", "did you mean --name=a? (PATH, line 2)"),
        ("--fast\nwords\n", "received 'words'; a comment begins with # (PATH, line 2)"),
        (
            "\ufeff--fast\n",
            "received '\\ufeff--fast'; the file begins with a byte order mark, save it without "
            "one (PATH, line 1)",
        ),
    ],
)
def test_a_fault_in_a_flagfile_is_told_with_its_place(content, told, tmp_path):
    (tmp_path / "inner").write_text(content)
    (tmp_path / "own").write_text(f"--fast\n--flagfile={tmp_path}/inner\n")
    for name in ("inner", "own"):
        with pytest.raises(RequestError) as error:
            NO_WORDS.parse([f"--flagfile={tmp_path}/{name}"])
        assert str(error.value).endswith(told.replace("PATH", f"{tmp_path}/inner"))


@pytest.mark.parametrize("line", ["--flagfile", "--flagfile=", "-flagfile= "])
def test_a_flagfile_without_a_name_is_refused(line, tmp_path):
    (tmp_path / "own").write_text(f"{line}\n")
    with pytest.raises(RequestError, match="--flagfile: expected a file, as in"):
        NO_WORDS.parse([f"--flagfile={tmp_path}/own"])


def test_a_flagfile_that_is_no_text_is_named(tmp_path):
    (tmp_path / "own").write_bytes(b"\x89PNG\xff")
    with pytest.raises(RequestError, match="own: expected a file of flags, which is text"):
        NO_WORDS.parse([f"--flagfile={tmp_path}/own"])


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
