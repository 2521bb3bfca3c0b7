"""Writes corrupted labels to a file, for other frameworks: rethink-tf noise --export=noise.csv"""

import dataclasses
from pathlib import Path

import numpy as np

from rethink_tf import __version__, console
from rethink_tf.config import fields
from rethink_tf.config.command_line import CommandLine, FlagSet, Parsed
from rethink_tf.config.flags import RUN, Options, wanted
from rethink_tf.corruptions import labels as corruptions
from rethink_tf.data import example_hash, noise_file, noise_matrix
from rethink_tf.data import registry as datasets
from rethink_tf.errors import ExitCode, RequestError
from rethink_tf.runs.request import prepare
from rethink_tf.storage import content_hash, files, paths
from rethink_tf.training.devices import setup as devices


@dataclasses.dataclass(frozen=True)
class Flags:
    """Where the labels go."""

    export: str | None = fields.field(
        None,
        str,
        "the file to write; its name ends in .csv or .npz (required)",
        group="This command",
    )


_OF_THE_LABELS = ("dataset", "examples", "held_out", "corrupt", "label_noise", "seed")
LINE = CommandLine(
    "rethink-tf noise",
    "Corrupts the training labels of a data set as a run with the same flags would. Writes index, "
    "true label and given label of every example. A run's flagfile may be given; its other flags "
    "have no effect here.",
    (
        Flags,
        dataclasses.replace(RUN, listed=_OF_THE_LABELS),
        FlagSet(Options, listed=("data_dir", "cache_dir", "threads")),
    ),
)


def main(argv: list[str]) -> int:
    """The command: corrupts the labels of a configuration and writes them."""
    return LINE.run(argv, _export)


def _export(parsed: Parsed) -> int:
    asked, options, export = wanted(parsed), parsed[Options], parsed[Flags].export
    if not export:
        raise RequestError("--export: expected a file to write, .csv or .npz; received none")
    if Path(export).suffix not in (".csv", ".npz"):
        raise RequestError(f"--export: expected .csv or .npz, received {export}")
    files.require_writable(paths.absolute(export))
    if asked.labels_from is not None:
        raise RequestError("--labels_from: expected --corrupt for labels to export, not a file")
    config = prepare(asked, options)
    split, _ = datasets.load(
        config.dataset,
        data_dir=options.data_dir,
        cache_dir=options.cache_dir,
        report=console.say,
        start=lambda: devices.start(options.threads),
        input_size=config.input_size,
        augment=config.augment,
    )
    if config.examples is not None:
        split = datasets.take(split, config.examples, seed=config.seed)
    given = corruptions.corrupt_labels(
        split.labels,
        split.index,
        corrupt=config.corrupt,
        num_classes=split.num_classes,
        seed=config.seed,
        label_noise=config.label_noise,
        matrix=noise_matrix.matrix_of(config.label_noise, split.num_classes),
    )
    header = {
        "dataset": content_hash.shown(config.dataset),
        "seed": config.seed,
        "p": config.corrupt,
        "definition": _definition(config.label_noise),
        "version": __version__,
    }
    if examples := example_hash.examples_hash(config.dataset, options.data_dir):
        header["examples"] = examples  # ties each position to its example
    noise = noise_file.Noise(split.index, split.labels, given, header)
    noise_file.write(paths.absolute(export), noise)
    changed = float(np.mean(given != split.labels))
    console.say(f"{export}: {len(given)} labels, {100 * changed:.2f}% changed")
    return ExitCode.DONE


def _definition(label_noise: str) -> str:
    """The kind of noise; of a matrix the file's name and hash, without its folder."""
    ref = content_hash.ContentRef.parse(label_noise)
    return str(dataclasses.replace(ref, path=Path(ref.path).name))
