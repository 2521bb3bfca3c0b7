"""The samples grid: training examples as the model sees them, under each corruption."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rethink_tf.config.run_config import RunConfig
from rethink_tf.corruptions import pixels
from rethink_tf.corruptions.corruption import Corruption, Moments
from rethink_tf.corruptions.threefry import SplitId
from rethink_tf.data import subset
from rethink_tf.data.types import Table
from rethink_tf.plotting import style as pictures
from rethink_tf.runs import results
from rethink_tf.runs.description import PIXEL_TITLES, labels_in_words, pixels_in_words
from rethink_tf.storage import content_hash, files

ROWS = 8


MOMENT_EXAMPLES = 1000


CLASS_NAMES = {
    "cifar10": (
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ),
    "fashion_mnist": (
        "T-shirt",
        "trousers",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    ),
}


def choose(labels: np.ndarray, count: int = ROWS) -> np.ndarray:
    """Positions of the examples shown: the first of each class, then the next ones of each.

    Args:
        labels: integer [N], true labels.
        count: how many; fewer where N is smaller.

    Returns:
        int64 [min(count, N)]. The choice does not depend on the given labels, so the share of noisy
        ones is not biased.
    """
    return np.lexsort((labels, subset.rank_in_class(labels, np.arange(len(labels)))))[:count]


def run_samples(config: RunConfig, source: Any, train: Table) -> np.ndarray:
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
    moments = moments_of(source)
    drawn = {"augment": config.augment, "seed": config.seed, "epoch": 1}
    own = pipeline.augmented_rows(train, chosen, size=size, **drawn)
    own_kind = config.pixels if _is_whole(config) else None
    if own_kind == "original" and noisy:
        own_kind = None  # the first column shows the true labels, so it is not this run's own
    columns = {}
    for kind, words in PIXEL_TITLES.items():
        title = [words, *labels_in_words(config, noisy and kind != "original")]
        seen = own
        if kind == own_kind:
            title.insert(0, "this run:")
        else:
            seen = pixels.corrupt_pixels(
                images,
                index,
                Corruption(pixels=kind, seed=config.seed),
                split=SplitId.TRAIN,
                moments=moments,
            )
        columns["\n".join(title)] = (seen, true if kind == "original" else given)
    if own_kind is None:
        epoch = ["in epoch 1"] if config.augment != "none" else []
        title = ["this run:", *pixels_in_words(config), *epoch, *labels_in_words(config, noisy)]
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


def moments_of(source: Any) -> Moments:
    """Moments of Gaussian pixels: those of the run, or of some of its examples."""
    if source.moments is not None:
        return source.moments
    some = source.train.images[:: -(-source.train.num_examples // MOMENT_EXAMPLES)]
    from rethink_tf.training import input_pipeline

    return input_pipeline.moments(some)


def record_samples(
    config: RunConfig,
    source: Any,
    train: Table,
    run_dir: Path,
    log: Any,
    say: Callable[[str], None],
) -> None:
    """Draws `run_samples` into the run directory and its TensorBoard log.

    If the picture cannot be drawn (matplotlib, fonts), a line is printed and the run goes on.

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
    files.write_atomically(run_dir / results.SAMPLES, content)
    log.image("samples", picture)


def _is_whole(config: RunConfig) -> bool:
    """Whether the run's images are those of one of the four columns."""
    return config.pixel_mix == config.shuffle_fraction == 1 and config.augment == "none"
