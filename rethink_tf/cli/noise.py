"""Writes corrupted labels to a file, for other frameworks: rethink-tf noise --export=noise.csv"""

from pathlib import Path

import numpy as np

from rethink_tf import __version__
from rethink_tf.data import noise_file
from rethink_tf.errors import RequestError


def main(argv: list[str]) -> int:
    """The command: corrupts the labels of a configuration and writes them."""
    from rethink_tf import console
    from rethink_tf.config import flags
    from rethink_tf.corruptions import labels as corruptions
    from rethink_tf.data import registry as datasets
    from rethink_tf.runs.request import prepare
    from rethink_tf.storage import content_hash as contents
    from rethink_tf.training.devices import setup as devices

    extra = {"export": "the file to write, .csv or .npz by its ending (required)"}
    request = flags.parse_with(argv, extra)
    if request is None:
        console.say(flags.usage("rethink-tf noise", extra))
        return 0
    wanted, options, extras = request
    if not extras["export"]:
        raise RequestError("--export: expected a file to write, .csv or .npz; received none")
    if Path(extras["export"]).suffix not in (".csv", ".npz"):
        raise RequestError(f"--export: expected .csv or .npz, received {extras['export']}")
    if wanted.labels_from is not None:
        raise RequestError("--labels_from: expected --corrupt for labels to export, not a file")
    config = prepare(wanted, options)
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
        probability=config.corrupt,
        num_classes=split.num_classes,
        seed=config.seed,
        noise=config.label_noise,
    )
    header = {
        "dataset": contents.shown(config.dataset),
        "seed": config.seed,
        "p": config.corrupt,
        "definition": config.label_noise,
        "version": __version__,
    }
    noise_file.write(extras["export"], noise_file.Noise(split.index, split.labels, given, header))
    changed = float(np.mean(given != split.labels))
    console.say(f"{extras['export']}: {len(given)} labels, {100 * changed:.2f}% changed")
    return 0
