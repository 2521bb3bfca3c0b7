"""Pictures: examples as the model sees them, under each corruption; and learn-then-memorise curves.

    rethink-tf show --dataset=cifar10 --corrupt=0.5 [--out=samples.png]
    rethink-tf show RUN [RUN ...] [--out=curves.png]        (a run's folder or id)

The first form takes the flags of a run; a run draws the same grid of its own data. Of the pictures
only the first form starts TensorFlow.
"""

import dataclasses
from pathlib import Path

import numpy as np

from rethink_tf import console
from rethink_tf.config import fields
from rethink_tf.config.command_line import CommandLine, FlagSet, Parsed
from rethink_tf.config.flags import PLACES, RUN, Options, refuse_fields, wanted
from rethink_tf.config.run_config import RunConfig
from rethink_tf.data.registry import DATASETS
from rethink_tf.errors import ExitCode, RequestError
from rethink_tf.plotting import curves
from rethink_tf.plotting import style as pictures
from rethink_tf.runs import results
from rethink_tf.runs.description import (
    run_name,
    stored_config,
)
from rethink_tf.runs.request import prepare
from rethink_tf.storage import files, paths
from rethink_tf.training.recording.samples import choose, moments_of, run_samples

MOST_RUNS = 100


def _curves(folders: list[Path], loss: bool = False):
    """The Figure of the runs in these folders."""
    if len(folders) > MOST_RUNS:
        raise RequestError(f"expected at most {MOST_RUNS} runs, received {len(folders)}")
    runs, classes = [], []
    for folder in folders:
        if not (folder / results.HISTORY).is_file():
            raise RequestError(
                f"{folder}: expected the folder of a training, with its {results.HISTORY}; there "
                "is none"
            )
        lines = results.read_history(folder)
        if not loss and all(line.get("test_accuracy") is None for line in lines):
            raise RequestError(f"{folder}: expected an evaluated epoch; this run has none yet")
        runs.append((run_name(folder), lines))
        config = stored_config(folder)
        ours = DATASETS.get(config.dataset) if config else None
        recorded = (results.read_config(folder) or {}).get("classes")
        classes.append(ours.num_classes if ours else recorded)
    names = [name for name, _ in runs]
    runs = [
        (name if names.count(name) == 1 else f"{name} ({folder.resolve().name})", lines)
        for (name, lines), folder in zip(runs, folders, strict=True)
    ]
    return curves.loss_curves(runs) if loss else curves.learning_curves(runs, classes)


def _grid(config: RunConfig, options, say) -> np.ndarray:
    """The picture of the data that a configuration would train on; corrupts what is shown only."""
    from rethink_tf.training.devices import setup as devices

    devices.start(options.threads)
    from rethink_tf.training import input_pipeline

    source = input_pipeline.load(
        config, data_dir=options.data_dir, cache_dir=options.cache_dir, say=say
    )
    moments = moments_of(source)  # from as many examples as a run uses
    chosen = np.sort(choose(source.train.labels))
    split = source.train
    part = dataclasses.replace(
        split,
        index=split.index[chosen],
        images=split.images.take(chosen, axis=0),
        labels=split.labels[chosen],
    )
    labels = source.file_labels
    shown = dataclasses.replace(
        source,
        train=part,
        moments=moments,
        file_labels=None if labels is None else labels[chosen],
    )
    return run_samples(config, shown, input_pipeline.table(shown, part))


CURVES = "curves.png"
_GROUP = "This command"


@dataclasses.dataclass(frozen=True)
class Flags:
    """What is drawn, and where to."""

    out: str | None = fields.field(
        None,
        str,
        "the PNG file to write",
        group=_GROUP,
        by=f"{results.SAMPLES}, with RUN {CURVES}",
    )
    curve: str = fields.field(
        "accuracy",
        str,
        "with RUN: draw the accuracy, or the running training loss",
        group=_GROUP,
        choices=("accuracy", "loss"),
    )


# Settings that change the examples a run sees.
_OF_THE_GRID = (
    *("dataset", "examples", "input_size", "preprocess", "augment", "seed", "held_out"),
    *("corrupt", "label_noise", "labels_from", "pixels", "pixel_mix", "shuffle_fraction"),
)
LINE = CommandLine(
    "rethink-tf show",
    """
    Without RUN: draws a grid of examples under each corruption, as the model sees them. The flags
    are those of a run. A run's flagfile may be given; its other flags have no effect here.

    With RUN: draws the accuracy by epoch, on clean and noisy training examples and on the
    test set.
    """,
    (
        Flags,
        dataclasses.replace(RUN, listed=_OF_THE_GRID),
        FlagSet(Options, listed=PLACES),
    ),
    positionals="[RUN ...]",
    positionals_help="RUN: the folder of a run, or its id below --runs_dir",
)


def main(argv: list[str]) -> int:
    """The command: a grid of a configuration's examples, or the curves of runs."""
    return LINE.run(argv, _draw)


def _draw(parsed: Parsed) -> int:
    flags, runs_dir = parsed[Flags], parsed[Options].runs_dir
    out = Path(flags.out or (CURVES if parsed.positionals else results.SAMPLES))
    if out.suffix != ".png":
        raise RequestError(f"--out: expected a name that ends in .png, received {out}")
    files.require_writable(paths.absolute(out))
    if parsed.positionals:
        refuse_fields(parsed, "no flag of a run together with RUN")
        folders = [results.require_folder(named, runs_dir) for named in parsed.positionals]
        picture = pictures.pixels_of(_curves(folders, flags.curve == "loss"))
    else:
        options = parsed[Options]
        picture = _grid(prepare(wanted(parsed), options), options, console.say)
    files.write_atomically(paths.absolute(out), pictures.png(picture))
    console.say(str(out))
    return ExitCode.DONE
