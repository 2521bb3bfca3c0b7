"""Flags: generated from RunConfig's fields, parsed on a private FlagValues, with a readable --help.

absl by itself exits with 1 on a bad flag and lists every module's flags; here a bad flag is a
RequestError. Imports no TensorFlow.
"""

import contextlib
import dataclasses
import difflib
import io
import os
import textwrap

from absl import flags

from rethink_tf.config.fields import check_choice, described
from rethink_tf.config.run_config import FIELDS, OF_THE_PARENT, RunConfig
from rethink_tf.errors import RequestError
from rethink_tf.training.devices.setup import STRATEGIES


@dataclasses.dataclass(frozen=True)
class Options:
    """What cannot change a number: where things lie and how the run is carried out."""

    runs_dir: str = "runs"
    data_dir: str | None = None
    cache_dir: str | None = None
    dry_run: bool = False
    threads: int = 0
    strategy: str = "auto"
    devices: int = 0
    deterministic: bool = False
    checkpoint_every: int = 5
    keep_epochs: tuple[int, ...] = ()
    resume: str = "exact"
    profile: str | None = None  # a folder; empty for the run's own


_OPTIONS_HELP = {
    "runs_dir": "folder of the runs; each has its own folder RUNS_DIR/<run_id>",
    "data_dir": "folder of TFDS-prepared sets [TFDS_DATA_DIR, else ~/tensorflow_datasets]",
    "cache_dir": "folder of decoded sets [~/.cache/rethink_tf]",
    "dry_run": "print the resolved configuration, run id, parameters and memory, and stop",
    "threads": "threads for arithmetic; 0: as many as there are cores for this process",
    "strategy": "how devices are used: mirrored over all GPUs where there are several, else one "
    "(auto), or by several processes, as TF_CONFIG or Slurm describe them (multi_worker): each "
    "then listens on all interfaces without a password, so a firewall must keep others out",
    "devices": "GPUs to use, or parts of the CPU where there is none; 0: all GPUs",
    "deterministic": "the same bits on GPUs too, slower (without XLA); CPUs give them anyway",
    "checkpoint_every": "epochs between checkpoints; 0: only when a signal stops the run",
    "keep_epochs": "epochs, such as 1,5,20, after which a snapshot of the weights is kept [none]",
    "resume": "how an unfinished run goes on: exactly or not at all (exact), in a changed "
    "environment too (anyway), or from the start (restart)",
    "profile": "folder for a TensorBoard trace of some steps; --profile alone: the run's tb [none]",
}
DEEPEST = 50  # flagfiles within each other
RESUME_MODES = ("exact", "anyway", "restart")
_CHOICES = {"strategy": STRATEGIES, "resume": RESUME_MODES}


def _define_optional(name: str, default, help: str, flag_values: flags.FlagValues) -> None:
    """A string flag that can stand alone: --name=TEXT, --name ("true"), --noname ("false")."""
    flag = flags.Flag(flags.ArgumentParser(), flags.ArgumentSerializer(), name, default, help)
    flag.boolean = True
    flags.DEFINE_flag(flag, flag_values)


_DEFINE = {
    str: flags.DEFINE_string,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_bool,
    "optional": _define_optional,
}
_OPTION_KINDS = {
    "dry_run": bool,
    "threads": int,
    "devices": int,
    "deterministic": bool,
    "checkpoint_every": int,
    "profile": "optional",
}


def _make_flags(extra: dict[str, str]) -> flags.FlagValues:
    values = flags.FlagValues()
    for name, field in FIELDS.items():
        _DEFINE[field.metadata["kind"]](name, None, field.metadata["help"], flag_values=values)
    for name, help in extra.items():
        flags.DEFINE_string(name, None, help, flag_values=values)
    for name, help in _OPTIONS_HELP.items():
        default = Options.__dataclass_fields__[name].default
        kind = _OPTION_KINDS.get(name, str)
        # An empty tuple is no value of a string flag.
        _DEFINE[kind](name, None if default == () else default, help, flag_values=values)
    flags.DEFINE_bool("help", False, "print this help", flag_values=values)
    flags.DEFINE_string("flagfile", "", "file of flags, one a line", flag_values=values)
    flags.DEFINE_string("undefok", "", "", flag_values=values)
    return values


def parse(argv: list[str]) -> tuple[RunConfig, Options] | None:
    """Turns a command line into a request; None where it asks for help.

    Args:
        argv: arguments without the program's name.

    Returns:
        The RunConfig as asked for (not yet resolved), and the Options.

    Raises:
        RequestError: an unknown flag, a value that is no value of its flag, a flagfile that is not
            there, an argument that is no flag.
    """
    request = parse_with(argv, {})
    return None if request is None else request[:2]


def parse_with(
    argv: list[str], extra: dict[str, str]
) -> tuple[RunConfig, Options, dict[str, str | None]] | None:
    """As `parse`, for a command with string flags of its own.

    Args:
        argv: arguments without the program's name.
        extra: name and help of each further flag.

    Returns:
        As `parse`, and the values of the further flags.
    """
    values, said = _make_flags(extra), io.StringIO()
    words = [*argv, *_lines_of_flagfiles(argv)]
    try:
        with contextlib.redirect_stderr(said):  # absl writes of a circle there, and goes on
            rest = values(["rethink_tf", *argv])[1:]
    except flags.UnrecognizedFlagError as error:
        _refuse_flag(error.flagname, extra)
        raise  # not reached: an unknown name is never among the known ones
    except flags.CantOpenFlagFileError as error:
        raise RequestError(f"--flagfile: {str(error).removeprefix('ERROR:: ')}") from None
    except flags.Error as error:
        raise RequestError(" ".join(str(error).split())) from None
    except (OSError, ValueError) as error:  # a folder, no text, a null character in its name
        raise RequestError(f"--flagfile: cannot be read: {error}") from None
    except RecursionError:  # absl seeks the names nearest to an unknown one, letter by letter
        longest = max((word.partition("=")[0] for word in words), key=len)
        raise RequestError(f"unknown flag {longest:.60}...; --help lists the flags") from None
    if said.getvalue():
        circle = said.getvalue().splitlines()[0].rpartition(": ")[2]
        raise RequestError(f"--flagfile={circle}: expected a file that does not include itself")
    if rest:
        raise RequestError(f"expected flags only (--name=value), received {rest[0]!r}")
    if values["help"].value:
        return None
    given = {n: values[n].value for n in FIELDS if values[n].value is not None}
    if "init_from" in given:  # left out, they are the parent's, not the defaults
        given = dict.fromkeys(OF_THE_PARENT) | given
    options = {name: values[name].value for name in _OPTIONS_HELP}
    extras = {name: values[name].value for name in extra}
    _check_texts(given | options | extras)
    return RunConfig(**given), _checked(options), extras


def _lines_of_flagfiles(argv: list[str]) -> list[str]:
    """The lines of all flagfiles that a command line names, and of those within them.

    Refuses files within each other so deep that absl, which recurses, would not end well. Files
    that cannot be read, and circles, are left to absl.
    """
    level, seen, every = _flagfiles(argv), set(), []
    for depth in range(DEEPEST + 1):
        seen.update(level)
        inner = []
        for path in level:
            with contextlib.suppress(OSError, ValueError), open(os.path.expanduser(path)) as file:
                lines = [line.strip() for line in file]
                every += [line for line in lines if line.startswith("-")]
                inner += _flagfiles(lines)
        level = [path for path in dict.fromkeys(inner) if path not in seen]
        if not level:
            return every
        if depth == 0:
            first = _flagfiles(argv)[0]
    raise RequestError(
        f"--flagfile={first}: expected files that include each other at most {DEEPEST} deep, found "
        f"more, such as {level[0]}"
    )


def _flagfiles(words: list[str]) -> list[str]:
    """The files that --flagfile=FILE, -flagfile=FILE and --flagfile FILE name."""
    found = []
    for word, following in zip(words, [*words[1:], ""], strict=False):
        name, equals, path = word.partition("=")
        if name in ("--flagfile", "-flagfile"):
            found += [path if equals else following]
    return [path.strip() for path in found if path.strip()]


def _check_texts(values: dict) -> None:
    """Refuses text that can name no file, such as a null character out of a flagfile."""
    for name, value in values.items():
        try:
            bad = isinstance(value, str) and b"\0" in os.fsencode(value)
        except UnicodeEncodeError:
            bad = True
        if bad:
            raise RequestError(f"--{name}: expected text without null characters, {value!r} came")


def _checked(options: dict) -> Options:
    """The options in their types, or RequestError."""
    for name, high in (("threads", 4096), ("devices", 1024), ("checkpoint_every", 1_000_000)):
        if not 0 <= options[name] <= high:
            raise RequestError(
                f"--{name}: expected a whole number from 0 to {high}, received {options[name]}"
            )
    for name, choices in _CHOICES.items():
        check_choice(name, options[name], choices)
    listed = [item.strip() for item in (options["keep_epochs"] or "").split(",") if item.strip()]
    if not all(item.isascii() and item.isdigit() and 0 < len(item) < 9 for item in listed):
        raise RequestError(
            f"--keep_epochs: expected epochs such as 1,5,20, received {options['keep_epochs']}"
        )
    options["keep_epochs"] = tuple(sorted({int(item) for item in listed}))
    options["profile"] = {"true": "", "false": None}.get(options["profile"], options["profile"])
    return Options(**options)


def _refuse_flag(name: str, extra) -> None:
    """Refuses an unknown flag's name, with the nearest known one."""
    known = [*FIELDS, *_OPTIONS_HELP, *extra, "flagfile", "help"]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean --{near[0]}?" if near else "--help lists the flags"
    raise RequestError(f"unknown flag --{name}; {hint}")


def _entry(name: str, help: str, choices=None, default=None) -> str:
    text = described(help, choices, default)
    return textwrap.fill(text, 98, initial_indent=f"  --{name:<24}", subsequent_indent=" " * 28)


def usage(module: str = "rethink_tf.main", extra: dict[str, str] | None = None) -> str:
    """The text of --help: our flags, in groups, each with its default in brackets."""
    lines = [f"python -m {module} [--flagfile=FILE] [--name=value ...]", ""]
    if extra:
        lines += ["This command:", *(_entry(name, help) for name, help in extra.items())]
    else:
        lines += [
            "Trains a network on data corrupted in a stated way; measures exactly what it learnt.",
            "For example: python -m rethink_tf.main --model=inception --corrupt=1.0",
        ]
    lines.append("Defaults stand in brackets; --dry_run shows what the open ones become.")
    for group in dict.fromkeys(f.metadata["group"] for f in FIELDS.values()):
        lines += ["", f"{group}:"]
        for name, field in FIELDS.items():
            meta = field.metadata
            if meta["group"] == group:
                default = meta["by"] or field.default
                lines.append(_entry(name, meta["help"], meta["choices"], default))
    lines += ["", "Where and how (no part of a run's identity, but recorded with it):"]
    for name, help in _OPTIONS_HELP.items():
        default = Options.__dataclass_fields__[name].default
        lines.append(_entry(name, help, _CHOICES.get(name), None if default == () else default))
    lines.append(_entry("flagfile", "file of flags, one a line; of two equal flags the later wins"))
    lines.append(_entry("help", "print this help"))
    return "\n".join(lines)
