"""Which training examples a run memorised: rethink-tf examples RUN [RUN ...]"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rethink_tf import console
from rethink_tf.analysis import example_scores
from rethink_tf.analysis.example_scores import ExampleScores
from rethink_tf.config import fields
from rethink_tf.config.command_line import CommandLine, FlagSet, Parsed
from rethink_tf.config.flags import Options
from rethink_tf.config.run_config import RunConfig
from rethink_tf.data import registry as datasets
from rethink_tf.errors import ExitCode, RequestError
from rethink_tf.report import examples_page
from rethink_tf.runs import description, results
from rethink_tf.storage import files, paths
from rethink_tf.training.recording.samples import CLASS_NAMES

MOST_RUNS = 20
MOST_PICTURES = 1000
_GROUP = "This command"


@dataclasses.dataclass(frozen=True)
class Flags:
    """What the page shows, and where it is written."""

    out: str = fields.field("examples", str, "folder of the page, CSV and figures", group=_GROUP)
    count: int = fields.field(
        examples_page.COUNT,
        int,
        "examples of each ranking",
        group=_GROUP,
        low=1,
        high=MOST_PICTURES,
    )
    pictures: bool = fields.field(
        True,
        bool,
        "show images (the data set must be on disk); --nopictures lists indices and labels",
        group=_GROUP,
    )


LINE = CommandLine(
    "rethink-tf examples",
    """
    Writes a page about the training examples of a finished run. It ranks the most and least
    typical, the ambiguous, the most suspicious and the most often forgotten examples, and plots
    confidence against variability. A CSV has all measures of each example, by index. If the true
    labels are known, the page shows how well each measure finds noisy labels.

    The page describes the first run. Further runs, for example of another model, are compared with
    it by rank. They must have the same examples, labels and evaluated epochs.
    """,
    (Flags, FlagSet(Options, only=("runs_dir", "data_dir", "cache_dir", "threads"))),
    positionals="RUN [RUN ...]",
    least=1,
    most=MOST_RUNS,
    positionals_help="RUN: the folder of a finished run, or its id below --runs_dir",
)


def main(argv: list[str]) -> int:
    """The command: writes the page and prints the table of detection."""
    return LINE.run(argv, _write_page)


def _write_page(parsed: Parsed) -> int:
    flags, options = parsed[Flags], parsed[Options]
    folders = [results.require_folder(named, options.runs_dir) for named in parsed.positionals]
    files.require_writable_folder(paths.absolute(flags.out))
    scores, *others = [example_scores.of_run(folder) for folder in folders]
    for other in others:
        example_scores.refuse_uncomparable(scores, other)
    config = description.stored_config(folders[0])
    if config is None:
        raise RequestError(f"{parsed.positionals[0]}: its {results.CONFIG} lacks the configuration")
    images = None
    names: Sequence[str] | None = None
    if flags.pictures:
        images = _images(config, scores, options)
        names = CLASS_NAMES.get(config.dataset)
        if names is None:
            names = datasets.info(
                config.dataset,
                options.data_dir,
                options.cache_dir,
                input_size=config.input_size,
                augment=config.augment,
            ).class_names
    written = examples_page.write(
        Path(flags.out),
        scores,
        images=images,
        class_names=names,
        history=results.read_history(folders[0]),
        others=others,
        count=flags.count,
    )
    for line in examples_page.facts(scores):
        console.say(line)
    if not scores.complete:
        console.say(examples_page.INCOMPLETE)
    if detections := example_scores.detection(scores):
        noisy = scores.given != scores.true
        console.say(f"\n{console.aligned(example_scores.detection_table(detections, noisy))}\n")
        if scores.labels_are_random:
            console.say(f"{examples_page.RANDOM}\n")
    for path in written:
        console.say(path)
    return ExitCode.DONE


def _images(config: RunConfig, scores: ExampleScores, options: Options) -> examples_page.Images:
    """The original images of a run's examples, before any corruption of pixels.

    Raises:
        RequestError: the data set is not on disk, or its examples are not those of the run.
    """
    from rethink_tf.training.devices import setup as devices

    if not datasets.is_on_disk(config.dataset, options.data_dir):
        raise RequestError(
            f"--pictures: expected {config.dataset} on disk, found none in "
            f"{paths.data_directory(options.data_dir)}; type --data_dir=FOLDER, or --nopictures"
        )
    try:
        train, _ = datasets.load(
            config.dataset,
            data_dir=options.data_dir,
            cache_dir=options.cache_dir,
            report=console.say,
            start=lambda: devices.start(options.threads),
            input_size=config.input_size,
            augment=config.augment,
        )
    except RequestError as error:
        raise RequestError(f"{error}; --nopictures needs no images") from None
    place = np.minimum(np.searchsorted(train.index, scores.index), train.num_examples - 1)
    same = (train.index[place] == scores.index) & (train.labels[place] == scores.true)
    if not same.all():
        raise RequestError(
            f"expected the data of the run; in {config.dataset}, {int((~same).sum()):,} of "
            f"{len(same):,} examples have another index or true label; "
            "type --data_dir, or --nopictures"
        )
    return lambda positions: list(train.images[place[positions]])
