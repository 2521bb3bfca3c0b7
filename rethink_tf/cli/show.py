"""Pictures: examples as the model sees them, under each corruption; and learn-then-memorise curves.

    python -m rethink_tf.cli.show --dataset=cifar10 --corrupt=0.5 [--out=samples.png]
    python -m rethink_tf.cli.show RUN [RUN ...] [--out=curves.png]

The first form takes the flags of a run; a run draws the same grid of its own data. Of the pictures
only the first form starts TensorFlow.
"""

import dataclasses
import sys
from pathlib import Path

import numpy as np

from rethink_tf import agreement
from rethink_tf.config.fields import check_choice, from_stored
from rethink_tf.config.run_config import FIELDS, RunConfig
from rethink_tf.corruptions import pixels
from rethink_tf.corruptions.threefry import SplitId
from rethink_tf.data import subset
from rethink_tf.data.registry import DATASETS
from rethink_tf.errors import RequestError, StorageError
from rethink_tf.plotting import curves
from rethink_tf.plotting import style as pictures
from rethink_tf.runs import pretrained, results
from rethink_tf.storage import content_hash

ROWS = 8
MOST_RUNS = 100
MOMENT_EXAMPLES = 1000
CLASS_NAMES = {
    "cifar10": (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    ),
    "fashion_mnist": (
        "T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag",
        "ankle boot",
    ),
}  # fmt: skip
_PIXELS = {
    "original": "original pixels",
    "shuffled": "shuffled pixels",
    "random": "random pixels",
    "gaussian": "Gaussian pixels",
}
_AUGMENT = {"crop": "random crop", "flip_rotate": "flip and rotation", "inception": "distorted"}


def choose(labels: np.ndarray, count: int = ROWS) -> np.ndarray:
    """Positions of the examples shown: the first of each class, then the next ones of each.

    Args:
        labels: integer [N], true labels.
        count: how many; fewer where N is smaller.

    Returns:
        int64 [min(count, N)]. Says nothing of the given labels, so their share is an honest one.
    """
    return np.lexsort((labels, subset.rank_in_class(labels, np.arange(len(labels)))))[:count]


def run_samples(config: RunConfig, source, train) -> np.ndarray:
    """The grid of a run's own training examples: original, corrupted in each way, as they are.

    The column marked "this run" is taken from the Table that is trained on; the others are made for
    comparison, with the run's labels. Where the run draws no Gaussian pixels, their mean and
    deviation are those of up to 1,000 of its examples.

    Args:
        config: resolved.
        source: tables.Source, what the pipeline read.
        train: pipeline.Table, what it yielded: the same examples.

    Returns:
        The picture, uint8 [height, width, 3], 1600 pixels wide.
    """
    from rethink_tf.data import pipeline

    chosen = choose(source.train.labels)
    size, index, true = config.input_size, train.index[chosen], train.true[chosen]
    images = pipeline.centre(source.train.images[chosen], size)
    given = train.given[chosen]
    noisy = config.corrupt > 0 or config.labels_from is not None
    mean, deviation = _moments(source)
    drawn = {"augment": config.augment, "seed": config.seed, "epoch": 1}
    own = pipeline.augmented_rows(train, chosen, size=size, **drawn)
    own_kind = config.pixels if _is_whole(config) else None
    if own_kind == "original" and noisy:
        own_kind = None  # the first column keeps the true labels
    columns = {}
    for kind, words in _PIXELS.items():
        title = [words, *_label_words(config, noisy and kind != "original")]
        seen = own
        if kind == own_kind:
            title.insert(0, "this run:")
        else:
            seen = pixels.corrupt_pixels(
                images, index, pixels=kind, split=SplitId.TRAIN, seed=config.seed,
                mean=mean, deviation=deviation,
            )  # fmt: skip
        columns["\n".join(title)] = (seen, true if kind == "original" else given)
    if own_kind is None:
        epoch = ["in epoch 1"] if config.augment != "none" else []
        title = ["this run:", *_pixel_words(config), *epoch, *_label_words(config, noisy)]
        columns["\n".join(title)] = (own, given)
    figure = pictures.sample_grid(
        {t: (source.preprocess(seen).numpy(), g) for t, (seen, g) in columns.items()},
        true,
        CLASS_NAMES.get(config.dataset) or source.class_names,
        index=index,
        title=f"{content_hash.shown(config.dataset)}: the same training examples under each "
        "corruption",
        plain=config.preprocess == "none",
    )
    return pictures.pixels_of(figure)


def _moments(source) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of Gaussian pixels, float [C] each: the run's, or near enough to show."""
    if source.corruption["mean"] is not None:
        return source.corruption["mean"], source.corruption["deviation"]
    some = source.train.images[:: -(-source.train.num_examples // MOMENT_EXAMPLES)]
    from rethink_tf.training import input_pipeline

    return input_pipeline.moments(some)


def record_samples(config: RunConfig, source, train, run_dir: Path, log, say) -> None:
    """Draws `run_samples` into the run directory and its TensorBoard log.

    A picture that cannot be drawn (matplotlib, fonts) costs the run a line, not its life.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        picture = run_samples(config, source, train)
        content = pictures.png(picture)
    except Exception as error:
        why = (str(error).splitlines() or [""])[0]
        say(f"{results.SAMPLES} was not drawn: {type(error).__name__}: {why}")
        return
    results.write_atomically(run_dir / results.SAMPLES, content)
    log.image("samples", picture)


def _is_whole(config) -> bool:
    """Whether the run's images are those of one of the four columns."""
    return config.pixel_mix == config.shuffle_fraction == 1 and config.augment == "none"


def _pixel_words(config) -> list[str]:
    words = [_PIXELS.get(config.pixels, str(config.pixels))]
    if config.pixel_mix != 1:
        words.append(f"mix t = {config.pixel_mix:g}")
    if config.shuffle_fraction != 1:
        words.append(f"fraction {config.shuffle_fraction:g}")
    if config.augment != "none":
        words = [_AUGMENT.get(config.augment, str(config.augment))]
    return words


def _label_words(config, noisy: bool) -> list[str]:
    if not noisy:
        return ["true labels"]
    if config.labels_from is not None:
        return ["labels from a file"]
    kind = "" if config.label_noise == "uniform" else f", {config.label_noise}"
    return [f"labels at p = {config.corrupt:g}{kind}"]


def _stored_config(run_dir: Path) -> RunConfig | None:
    """The configuration in a run's config.json; a field that an older version lacked is default."""
    stored = (results.read_config(run_dir) or {}).get("config")
    if not isinstance(stored, dict) or not {"model", "dataset"} <= set(stored):
        return None
    try:
        return from_stored(RunConfig, stored)
    except RequestError as error:
        raise StorageError(f"{run_dir}/{results.CONFIG}: damaged: {error}") from None


def run_name(run_dir: Path) -> str:
    """What a run was, in words, from its config.json; its folder's name where there is none."""
    config = _stored_config(run_dir)
    if config is None:
        return run_dir.resolve().name
    words = [content_hash.shown(config.model), content_hash.shown(config.dataset)]
    if config.examples is not None:
        words.append(f"{config.examples:,} examples")
    if config.pixels != "original" or config.augment != "none":
        words += _pixel_words(config)
    words += _label_words(config, config.corrupt > 0 or config.labels_from is not None)
    words += pretrained.words(config)
    words += [f"seed {config.seed}"] if config.seed else []
    summary = agreement.read_summary(run_dir)
    if summary is None or summary["status"] != results.DONE:
        words.append("unfinished" if summary is None else summary["status"])
    if summary is not None and agreement.before_seals(summary):
        words.append(agreement.BEFORE_SEALS)
    return ", ".join(words)


def _curves(folders: list[Path], loss: bool = False):
    """The Figure of the runs in these folders."""
    if len(folders) > MOST_RUNS:
        raise RequestError(f"expected at most {MOST_RUNS} RUN folders, received {len(folders)}")
    runs, classes = [], []
    for folder in folders:
        if not (folder / results.HISTORY).is_file():
            raise RequestError(
                f"{folder}: expected the folder of a run, with its {results.HISTORY}; there is "
                "none (flags are written --name=value)"
            )
        lines = results.read_history(folder)
        if not loss and all(line.get("test_accuracy") is None for line in lines):
            raise RequestError(f"{folder}: no epoch of this run has been evaluated yet")
        runs.append((run_name(folder), lines))
        config = _stored_config(folder)
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
    mean, deviation = _moments(source)  # of as many examples as in a run
    how = source.corruption | {"mean": mean, "deviation": deviation}
    chosen = np.sort(choose(source.train.labels))
    split = source.train
    part = dataclasses.replace(
        split,
        index=split.index[chosen],
        images=split.images.take(chosen, axis=0),
        labels=split.labels[chosen],
    )
    if how["given"] is not None:
        how["given"] = how["given"][chosen]
    part = dataclasses.replace(source, train=part, corruption=how)
    return run_samples(config, part, input_pipeline.table(part.train, how))


_CURVES = "curves.png"
_EXTRA = {
    "out": f"the picture to write, .png [{results.SAMPLES}, with RUN folders {_CURVES}]",
    "curve": "with RUN folders: accuracy, or loss for the online training loss [accuracy]",
}


def _usage() -> str:
    from rethink_tf.config import flags

    first, *rest = flags.usage("rethink_tf.cli.show", _EXTRA).splitlines()
    return "\n".join(
        [
            f"{first}\n    a grid of examples as the model sees them, under each corruption",
            "python -m rethink_tf.cli.show RUN [RUN ...] [--out=FILE]",
            "    accuracy on clean and corrupted training examples and on the test set, by epoch",
            *rest,
        ]
    )


def main(argv: list[str]) -> int:
    """The command: a grid of a configuration's examples, or the curves of runs."""
    from rethink_tf import console
    from rethink_tf.config import flags
    from rethink_tf.main import prepare

    folders = [Path(word) for word in argv if not word.startswith("-")]
    request = flags.parse_with([word for word in argv if word.startswith("-")], _EXTRA)
    if request is None:
        console.say(_usage())
        return 0
    wanted, options, extras = request
    out = Path(extras["out"] or (_CURVES if folders else results.SAMPLES))
    check_choice("curve", extras["curve"] or "accuracy", ("accuracy", "loss"))
    if out.suffix != ".png":
        raise RequestError(f"--out: expected a name that ends in .png, received {out}")
    if folders:
        set_too = [name for name in FIELDS if getattr(wanted, name) != FIELDS[name].default]
        if set_too:
            raise RequestError(f"--{set_too[0]}: expected no flag of a run beside RUN folders")
        picture = pictures.pixels_of(_curves(folders, extras["curve"] == "loss"))
    else:
        picture = _grid(prepare(wanted, options), options, console.say)
    results.write_atomically(out, pictures.png(picture))
    console.say(str(out))
    return 0


if __name__ == "__main__":
    from rethink_tf.main import guarded

    sys.exit(guarded(main, sys.argv[1:]))
