"""Norms, margins and sharpness of finished runs: rethink-tf measures RUN [RUN ...]"""

from pathlib import Path

from rethink_tf import console
from rethink_tf.analysis import measures
from rethink_tf.cli import show
from rethink_tf.errors import RequestError
from rethink_tf.runs import results
from rethink_tf.storage import files

_EXTRA = {
    "out": "the JSON file to write [measures.json]",
    "sharpness_examples": f"training examples on which sharpness is taken [{measures.EXAMPLES}]",
    "sharpness_draws": f"draws of the noise [{measures.DRAWS}]",
    "signs": "draws of random signs, each a training as long as the run's own [0]",
}


def main(argv: list[str]) -> int:
    """The command: measures of runs, as a table and a JSON file."""
    from rethink_tf.config import flags
    from rethink_tf.experiments import theory_studies
    from rethink_tf.training.devices import setup as devices

    named = [word for word in argv if not word.startswith("-")]
    request = flags.parse_with([word for word in argv if word.startswith("-")], _EXTRA)
    if request is None:
        console.say("rethink-tf measures RUN [RUN ...] [--name=value ...]\n")
        places = ("runs_dir", "data_dir", "cache_dir", "threads")
        for name, text in (_EXTRA | {n: theory_studies.PLACES[n] for n in places}).items():
            console.say(f"  --{name:<20}{text}")
        return 0
    wanted, options, extras = request
    theory_studies.refuse_others(wanted, ())
    if not named:
        raise RequestError("expected the folder of a finished run, or several; received none")
    if len(named) > show.MOST_RUNS:
        raise RequestError(f"expected at most {show.MOST_RUNS} RUN folders, received {len(named)}")
    out = Path(extras["out"] or "measures.json")
    if out.suffix != ".json":
        raise RequestError(f"--out: expected a name that ends in .json, received {out}")
    limits = {"sharpness_examples": ("examples", 1, 10**6), "sharpness_draws": ("draws", 1, 1000),
              "signs": ("signs", 0, 100)}  # fmt: skip
    kinds = {
        argument: theory_studies.whole(flag, extras[flag], low, high)
        for flag, (argument, low, high) in limits.items()
        if extras[flag] is not None
    }
    folders = [_folder(name, Path(options.runs_dir)) for name in named]
    files.require_writable(out)
    devices.start(options.threads)
    found = measures.run(folders, data_dir=options.data_dir, cache_dir=options.cache_dir, **kinds)
    files.write_json(out, found)
    console.say(f"{measures.table(found)}\n{out}")
    return 0


def _folder(name: str, runs_dir: Path) -> Path:
    """A run's folder, named by its path or by its id below the folder of the runs."""
    for folder in (Path(name), runs_dir / name):
        if results.read_summary(folder) is not None:
            return folder
    raise RequestError(f"{name}: expected the folder or the id of a finished run; there is none")
