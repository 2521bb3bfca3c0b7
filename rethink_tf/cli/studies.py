"""The studies of the theory: rethink-tf expressivity, rethink-tf implicit."""

import functools
import sys
import textwrap
from pathlib import Path
from typing import Any

from rethink_tf import console
from rethink_tf.config import flags as command_line
from rethink_tf.config import run_config
from rethink_tf.config.run_config import FIELDS
from rethink_tf.errors import RequestError
from rethink_tf.experiments import theory_studies
from rethink_tf.plotting import style as pictures
from rethink_tf.storage import files


def start(name: str) -> int:
    """Runs the command of a module of `rethink_tf.theory`; returns its exit code."""
    from rethink_tf.cli.app import NOTHING_KEPT, guarded

    return guarded(functools.partial(main, name), sys.argv[1:], NOTHING_KEPT)


def main(name: str, argv: list[str]) -> int:
    """One command line (without the program's name).

    Args:
        name: a key of theory_studies.COMMANDS.
        argv: its flags.
    """
    extra, run, draw = theory_studies.COMMANDS[name]
    request = command_line.parse_with(argv, extra)
    if request is None:
        console.say(_usage(name, extra))
        return 0
    wanted, options, extras = request
    theory_studies.refuse_others(wanted, theory_studies.OF_DATA)
    seed = run_config.check_field("seed", wanted.seed)
    out = Path(extras["out"] or name)
    if out.suffix:
        raise RequestError(f"--out: expected a folder, received {out}")
    kinds = theory_studies.numbers(name, extras)
    # Before anything is computed: an hour's work is not to end at a folder that cannot be made.
    with files.storage(out):
        out.mkdir(parents=True, exist_ok=True)
    files.require_writable(out / f"{name}.json")
    splits = theory_studies.load(wanted, options)
    kinds = theory_studies.sizes(name, splits[0].num_examples, kinds) | kinds
    if name in theory_studies.NEED_TENSORFLOW:
        from rethink_tf.training.devices import setup as devices

        devices.start(options.threads)
    found = run(*splits, **kinds, seed=seed, say=console.say, progress=console.StageProgress())
    write(out, name, found, draw(found))
    console.say(f"{out}/{name}.json")
    return 0


def write(folder: Path, name: str, found: dict[str, Any], figures: dict[str, Any]) -> None:
    """Writes FOLDER/NAME.json and a picture for each figure, FOLDER/NAME_TITLE.png."""
    for title, figure in figures.items():
        path = folder / f"{name}_{title}.png"
        files.write_atomically(path, pictures.png(pictures.pixels_of(figure)))
        console.say(str(path))
    files.write_json(folder / f"{name}.json", found)


def _usage(name: str, extra: dict[str, str]) -> str:
    fields = {n: FIELDS[n] for n in theory_studies.OF_DATA}
    shared = {
        name: f"{field.metadata['help']} [{field.metadata['by'] or field.default}]"
        for name, field in fields.items()
    } | theory_studies.PLACES
    del shared["runs_dir"]
    return "\n".join(
        [f"rethink-tf {name} [--name=value ...]", ""]
        + [
            textwrap.fill(text, 98, initial_indent=f"  --{flag:<16}", subsequent_indent=" " * 20)
            for flag, text in (extra | shared).items()
        ]
    )
