"""How every command reads its command line: absl flags made from dataclasses.

A `CommandLine` names the dataclasses whose fields are the command's flags. Each field has its
kind, help, bounds and group from `fields.field`. The flags stand on a private FlagValues, since
absl's own would list every module's flags and end the process with 1 on a bad one; here a bad flag
is a RequestError. Positional arguments may stand anywhere. Imports no TensorFlow.
"""

import contextlib
import dataclasses
import difflib
import io
import os
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from absl import flags

from rethink_tf import console
from rethink_tf.config import fields
from rethink_tf.errors import ExitCode, RequestError

# Characters in a line of --help; a narrower terminal has narrower lines.
WIDTH, LEAST_WIDTH = 98, 60
NAME_WIDTH = 24  # characters for the name of a flag there
DEEPEST = 50  # levels of flagfiles that include each other


@dataclasses.dataclass(frozen=True)
class FlagSet:
    """The flags of one dataclass.

    Attributes:
        kind: the dataclass; every field is made by `fields.field`.
        only: names of the fields that this command takes; None for all.
        defaults: name: words for the default, where the command has another than the field's own.
        checked: whether values out of their bounds are refused as they are read. Those of a
            RunConfig are checked when it is resolved, since a parent may fill some.
        listed: names of the fields that --help lists; None for all. The others have no effect in
            this command, or it refuses them itself; they are read because they may stand in the
            flagfile of a run.
    """

    kind: type
    only: tuple[str, ...] | None = None
    defaults: Mapping[str, str] = dataclasses.field(default_factory=dict)
    checked: bool = True
    listed: tuple[str, ...] | None = None

    def fields(self) -> dict[str, dataclasses.Field]:
        """The fields that are flags, by name."""
        named = {field.name: field for field in dataclasses.fields(self.kind)}
        return named if self.only is None else {name: named[name] for name in self.only}


@dataclasses.dataclass(frozen=True)
class Parsed:
    """What a command line asks for.

    Attributes:
        positionals: the positional arguments, in their order.
        typed: flag: value, of the flags that were typed or stood in a flagfile.
        values: dataclass: its instance.
    """

    positionals: tuple[str, ...]
    typed: dict[str, Any]
    values: dict[type, Any]

    def __getitem__(self, kind: type) -> Any:
        return self.values[kind]


@dataclasses.dataclass(frozen=True)
class CommandLine:
    """The command line of one command.

    Attributes:
        command: as it is typed, such as `rethink-tf sweep`.
        about: what it does, for --help; paragraphs are separated by blank lines.
        sets: dataclasses of its flags, or FlagSets.
        positionals: its positional arguments as --help shows them, such as `RUN [RUN ...]`; none
            where it is empty.
        positionals_help: what they are.
        least: how many there must be.
        most: how many there may be; None for any number.
    """

    command: str
    about: str
    sets: tuple[type | FlagSet, ...]
    positionals: str = ""
    positionals_help: str = ""
    least: int = 0
    most: int | None = None

    def flag_sets(self) -> tuple[FlagSet, ...]:
        """The sets, each as a FlagSet."""
        return tuple(s if isinstance(s, FlagSet) else FlagSet(s) for s in self.sets)

    def run(self, argv: Sequence[str], body: Callable[[Parsed], int]) -> int:
        """A command from its arguments to its exit code; prints the help where they ask for it.

        Args:
            argv: arguments without the program's name.
            body: does what the parsed arguments ask for; returns the exit code.

        Raises:
            RequestError: see `parse`; what `body` raises.
        """
        parsed = self.parse(argv)
        if parsed is None:
            console.say(self.help())
            return ExitCode.DONE
        return body(parsed)

    def parse(self, argv: Sequence[str]) -> Parsed | None:
        """What the arguments ask for; None where they ask for help.

        Args:
            argv: arguments without the program's name.

        Raises:
            RequestError: an unknown flag, a value that is no value of its flag, a flagfile that is
                not there or includes itself, too many or too few positional arguments.
        """
        sets = self.flag_sets()
        known = {name: field for one in sets for name, field in one.fields().items()}
        values = _define(known)
        positionals = _read(values, list(argv), [*known, "flagfile", "help"])
        if positionals and not self.positionals:
            _refuse_word(positionals[0], argv, [*known, "flagfile", "help"])
        if _switch("help", values["help"].value):
            return None
        typed = {
            name: _converted(name, field, values[name].value)
            for name, field in known.items()
            if values[name].present
        }
        _check_texts(typed | dict(enumerate(positionals)))
        made = {one.kind: _instance(one, typed) for one in sets}
        self._check_number(positionals)
        return Parsed(tuple(positionals), typed, made)

    def _check_number(self, positionals: list[str]) -> None:
        """Refuses too few or too many positional arguments."""
        most = len(positionals) if self.most is None else self.most
        if self.least <= len(positionals) <= most:
            return
        name = self.positionals.strip("[]").partition(" ")[0]
        if self.most is None:
            expected = f"at least {'one' if self.least == 1 else self.least} {name}"
        else:
            few = "" if self.least == most else f"{self.least} to "
            expected = f"{few}{'one' if most == 1 else most} {name}"
        raise RequestError(
            f"expected {expected}, received {len(positionals) or 'none'}; {self.command} --help "
            "explains it"
        )

    def help(self) -> str:
        """The text of --help: the flags in their groups, each with its default in brackets."""
        shown = f" {self.positionals}" if self.positionals else ""
        lines = [f"{self.command}{shown} [--flagfile=FILE] [--name=value ...]", ""]
        for paragraph in self.about.strip().split("\n\n"):
            lines += [*textwrap.wrap(" ".join(paragraph.split()), _width()), ""]
        if self.positionals_help:
            lines += textwrap.wrap(self.positionals_help, _width(), subsequent_indent="  ")
        groups: dict[str, list[str]] = {}
        for one in self.flag_sets():
            for name, field in one.fields().items():
                if one.listed is not None and name not in one.listed:
                    continue
                entry = _entry(name, field, one.defaults.get(name))
                groups.setdefault(field.metadata["group"], []).append(entry)
        for group, entries in groups.items():
            lines += [*([""] if lines[-1] else []), f"{group}:", *entries]
        lines += ["", "For every command:"]
        lines.append(
            _filled("flagfile", "file of flags, one per line; the later of two equal flags counts")
        )
        lines.append(_filled("help", "print this help"))
        return "\n".join(line for line in lines if line is not None)


def _define(known: Mapping[str, dataclasses.Field]) -> flags.FlagValues:
    values = flags.FlagValues()
    values.set_gnu_getopt(True)  # flags may follow positional arguments
    # All values are read as text and converted later, since absl passes on Python's own messages.
    kinds = {name: field.metadata["kind"] for name, field in known.items()} | {"help": bool}
    for name, kind in kinds.items():
        if kind in (bool, "optional"):  # --name=TEXT, --name ("true"), --noname ("false")
            flag: flags.Flag[str] = flags.Flag(
                flags.ArgumentParser(), flags.ArgumentSerializer(), name, None, ""
            )
            flag.boolean = True
            flags.DEFINE_flag(flag, values)
        else:
            flags.DEFINE_string(name, None, "", flag_values=values)
    flags.DEFINE_string("flagfile", "", "", flag_values=values)
    flags.DEFINE_string("undefok", "", "", flag_values=values)
    return values


def _read(values: flags.FlagValues, argv: list[str], known: list[str]) -> list[str]:
    """Sets the values; returns the positional arguments."""
    printed = io.StringIO()
    lines = _lines_of_flagfiles(argv)
    try:
        # If files include each other in a circle, absl only prints a warning.
        with contextlib.redirect_stderr(printed):
            positionals = values(["rethink_tf", *argv])[1:]
    except flags.UnrecognizedFlagError as error:
        name = error.flagname
        where = _place(lines, lambda line: line.lstrip("-").partition("=")[0] == name)
        raise RequestError(f"unknown flag --{name}; {_instead(name, known)}{where}") from None
    except flags.CantOpenFlagFileError as error:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, OSError) and cause.filename is not None:
            told = f"{cause.filename}: expected a file of flags; {cause.strerror}"
            raise RequestError(f"--flagfile={told}") from None
        raise RequestError(f"--flagfile: {str(error).removeprefix('ERROR:: ')}") from None
    except flags.Error as error:
        told = " ".join(str(error).split())
        name = told.removeprefix("Missing value for flag --")
        if name != told:
            told = f"--{name}: expected a value, as in --{name}=VALUE; received none"
        raise RequestError(told) from None
    except (OSError, ValueError) as error:  # a folder, no text, a null character in a name
        raise RequestError(f"--flagfile: cannot be read: {error}") from None
    except RecursionError:  # absl's search for similar names recurses once per letter
        typed = [*argv, *(line.text for line in lines if line.text.startswith("-"))]
        longest = max((word.partition("=")[0] for word in typed), key=len)
        raise RequestError(f"unknown flag {longest:.60}...; --help lists the flags") from None
    if printed.getvalue():
        circle = printed.getvalue().splitlines()[0].rpartition(": ")[2]
        raise RequestError(f"--flagfile={circle}: expected a file that does not include itself")
    return positionals


def _refuse_word(word: str, argv: Sequence[str], known: Sequence[str]) -> NoReturn:
    """Refuses a positional argument of a command that takes none.

    A flag without its hyphens, with the dash of a text editor, or behind a byte order mark is
    named as it would be written.
    """
    bare = re.sub(r"^[^\w]+", "", word)
    name, equals, _ = bare.partition("=")
    name = name.strip()
    hint = f"; did you mean --{bare}?" if name in known and equals else ""
    where = _place(_lines_of_flagfiles(argv), lambda line: line == word)
    if where and word.startswith("\ufeff"):
        hint = "; the file begins with a byte order mark, save it without one"
    elif where and not hint:
        hint = "; a comment begins with #"
    raise RequestError(f"expected flags only (--name=value), received {word[:60]!r}{hint}{where}")


def _place(lines: Sequence["_Line"], wanted: Callable[[str], bool]) -> str:
    """Where in a flagfile the first line of this kind stands, in words; "" where in none."""
    found = next((line for line in lines if wanted(line.text)), None)
    return "" if found is None else f" ({found.path}, line {found.number})"


def _instead(name: str, known: Sequence[str]) -> str:
    """What to type in place of an unknown flag."""
    if name.strip() in known:
        return f"write --{name.strip()}=VALUE, without spaces before the ="
    near = nearest(name, known)
    return f"did you mean --{near}?" if near else "--help lists the flags"


def nearest(name: str, known: Sequence[str]) -> str | None:
    """The flag that was probably meant by an unknown name; None where none is near.

    Those with the same beginning or the same initials (lr, bs) come first: by letters in common
    alone, `opt` would be nearest to `dropout`.
    """
    plain = name.lower().replace("-", "_")
    if not plain.strip("_"):
        return None
    begun = [one for one in known if one.startswith(plain)] if len(plain) > 2 else []
    initials = ["".join(part[:1] for part in one.split("_")) for one in known]
    same = [one for one, letters in zip(known, initials, strict=True) if letters == plain]
    near = difflib.get_close_matches(plain, known, n=1, cutoff=0.61)
    if near and difflib.SequenceMatcher(None, plain, near[0]).ratio() >= 0.8:
        return near[0]
    return next(iter([*begun[:1], *(same[:1] if len(plain) > 1 else []), *near]), None)


@dataclasses.dataclass(frozen=True)
class _Line:
    """A line of a flagfile that is neither empty nor a comment; lines are counted from 1."""

    path: str
    number: int
    text: str


def _lines_of_flagfiles(argv: Sequence[str]) -> list[_Line]:
    """The lines of all flagfiles that a command line names, and of those within them.

    Refuses files within each other so deep that absl, which recurses, would not end well, files
    that are no text, and an empty name, which absl would pass over. Files that cannot be opened,
    and circles, are left to absl.
    """
    level, every = _flagfiles(argv), []
    seen: set[str] = set()
    for depth in range(DEEPEST + 1):
        seen.update(level)
        inner = []
        for path in level:
            lines = _text_lines(path)
            every += lines
            inner += _flagfiles([line.text for line in lines])
        level = [path for path in dict.fromkeys(inner) if path not in seen]
        if not level:
            return every
        if depth == 0:
            first = _flagfiles(argv)[0]
    raise RequestError(
        f"--flagfile={first}: expected files that include each other at most {DEEPEST} deep, found "
        f"more, such as {level[0]}"
    )


def _text_lines(path: str) -> list[_Line]:
    try:
        with open(os.path.expanduser(path)) as file:
            texts = [line.strip() for line in file]
    except UnicodeDecodeError:
        raise RequestError(
            f"--flagfile={path}: expected a file of flags, which is text; this is none"
        ) from None
    except (OSError, ValueError):
        return []
    return [
        _Line(path, number, text)
        for number, text in enumerate(texts, 1)
        if text and not text.startswith(("#", "//"))
    ]


def _flagfiles(words: Sequence[str]) -> list[str]:
    """The files that --flagfile=FILE, -flagfile=FILE and --flagfile FILE name."""
    named = []
    for word, following in zip(words, [*words[1:], ""], strict=False):
        if word == "--":  # all that follow are positional
            break
        name, equals, path = word.partition("=")
        if name in ("--flagfile", "-flagfile"):
            path = (path if equals else following).strip()
            if not path:
                raise RequestError(
                    "--flagfile: expected a file, as in --flagfile=FILE; received none"
                )
            named.append(path)
    return named


def _switch(name: str, value: str | None) -> bool:
    """Whether a switch is on; one that is left out is off."""
    meanings = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
    switched = meanings.get("false" if value is None else value.lower())
    if switched is None:
        raise RequestError(f"--{name}: expected true or false, received {value!r:.60}")
    return switched


def _converted(name: str, field: dataclasses.Field, value: Any) -> Any:
    """A typed value in its field's kind; RequestError for text that is no value of it."""
    kind = field.metadata["kind"]
    if kind is bool:
        return _switch(name, value)
    if kind == "optional":
        return {"true": "", "false": None}.get(value, value)
    if kind is str and value == "" and not _names_choices(field):
        # As of a shell's variable that is not set; Path("") would be the current folder.
        raise RequestError(f"--{name}: expected a value, as in --{name}=VALUE; received ''")
    if kind not in (int, float):
        return value
    try:
        return kind(value)
    except ValueError:
        wanted = fields.bounds(field.metadata)
        raise RequestError(f"--{name}: expected {wanted}, received {value!r:.60}") from None


def _names_choices(field: dataclasses.Field) -> bool:
    """Whether an empty value is refused later, with the choices that there are."""
    accepts = field.metadata["accepts"]
    return bool(field.metadata["choices"]) and not (accepts and accepts(""))


def _check_texts(values: Mapping[Any, Any]) -> None:
    """Refuses text that can name no file, such as a null character out of a flagfile."""
    for name, value in values.items():
        try:
            bad = isinstance(value, str) and b"\0" in os.fsencode(value)
        except UnicodeEncodeError:
            bad = True
        if bad:
            shown = f"--{name}" if isinstance(name, str) else "an argument"
            raise RequestError(f"{shown}: expected text without null characters, {value!r} came")


def _instance(one: FlagSet, typed: Mapping[str, Any]) -> Any:
    given = {name: typed[name] for name in one.fields() if name in typed}
    if one.checked:
        given = {name: fields.check(name, one.fields()[name], v) for name, v in given.items()}
    return one.kind(**given)


def _entry(name: str, field: dataclasses.Field, default: str | None) -> str:
    meta = field.metadata
    text = meta["help"]
    if default and text.endswith("]"):  # replaces the default that the help text states itself
        text = text[: text.rindex(" [")]
    shown = default or meta["by"] or field.default
    return _filled(name, fields.described(text, meta["choices"], shown))


def _width() -> int:
    terminal = console.terminal_width()
    return WIDTH if terminal is None else max(LEAST_WIDTH, min(WIDTH, terminal))


def _filled(name: str, text: str) -> str:
    indent = f"  --{name:<{NAME_WIDTH}}"
    return textwrap.fill(text, _width(), initial_indent=indent, subsequent_indent=" " * 28)
