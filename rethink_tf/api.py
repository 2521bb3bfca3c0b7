"""The public functions of the package: `import rethink_tf as rt`.

Importing this module does not import TensorFlow. Functions that train or build a model do.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rethink_tf import console
from rethink_tf.audit import verdict
from rethink_tf.config.flags import Options
from rethink_tf.config.run_config import FIELDS, RunConfig, run_id
from rethink_tf.corruptions import labels as label_corruptions
from rethink_tf.corruptions import pixels as pixel_corruptions
from rethink_tf.corruptions.corruption import Corruption, Moments
from rethink_tf.corruptions.threefry import SplitId
from rethink_tf.data import noise_matrix
from rethink_tf.data import registry as datasets
from rethink_tf.data.label_file import num_classes_of, with_classes
from rethink_tf.data.types import Split
from rethink_tf.errors import RequestError
from rethink_tf.runs import agreement, request, results
from rethink_tf.runs.finished_run import RunRecord, Runs
from rethink_tf.storage import paths

SPLITS = {"train": SplitId.TRAIN, "test": SplitId.TEST}


@paths.from_here()
def run(
    config: RunConfig | None = None,
    runs_dir: Path | str = "runs",
    *,
    say: Callable[[str], None] = console.say,
    data_dir: Path | str | None = None,
    cache_dir: Path | str | None = None,
    **fields: Any,
) -> RunRecord:
    """Trains one configuration, or reads the run if it is finished already.

    An unfinished run is resumed exactly. A second call with an equal configuration trains nothing.

    Args:
        config: what is trained; fields left at None are resolved by model and data set.
        runs_dir: folder of the runs; the run is written to `runs_dir/<run id>`.
        say: takes the lines that a run prints.
        data_dir: folder of TFDS-prepared sets; None: TFDS_DATA_DIR, else ~/tensorflow_datasets.
        cache_dir: folder of decoded sets; None: ~/.cache/rethink_tf.
        **fields: fields of RunConfig; they replace `config`, or override its fields.

    Returns:
        A RunRecord with `train_accuracy`, `history`, ... as attributes. Accuracies are fractions.

    Raises:
        RequestError: fields contradict each other, or the data cannot be had.
        AuditError: the data are not what the configuration says.
        DivergedError: the loss became NaN or infinite.
        StoppedError: it was interrupted; the run is saved, and the same call resumes it.

    Example:
        >>> record = rt.run(model="mlp_1x512", dataset="digits", corrupt=1.0, epochs=2)
        >>> record.changed_fraction > 0.8
        True
    """
    unknown = [name for name in fields if name not in FIELDS]
    if unknown:
        raise RequestError(f"expected fields of RunConfig, received {', '.join(unknown)}")
    wanted = dataclasses.replace(config or RunConfig(), **fields)
    options = Options(
        runs_dir=str(runs_dir),
        data_dir=None if data_dir is None else str(data_dir),
        cache_dir=None if cache_dir is None else str(cache_dir),
    )
    resolved = request.prepare(wanted, options, say)
    run_dir = Path(runs_dir) / run_id(resolved)
    # The code of a custom network may change the current folder before the record is read.
    folder = paths.absolute(run_dir)
    if results.read_summary(folder) is None:
        datasets.require(resolved.dataset, options.data_dir)
    from rethink_tf.training.run import run as train

    return RunRecord(train(resolved, run_dir, options=options, argv=[], say=say), folder)


def load_runs(runs_dir: Path | str = "runs") -> Runs:
    """The finished runs of a folder, in the order of their run ids.

    Args:
        runs_dir: folder of run directories.

    Returns:
        A list of RunRecord; `to_dataframe()` makes a pandas DataFrame of it.

    Raises:
        RequestError: there is no such folder.
        StorageError: a record is damaged, or its files contradict each other.
    """
    if not Path(runs_dir).is_dir():
        raise RequestError(f"runs_dir: expected a folder of runs; there is no folder {runs_dir}")
    return Runs(RunRecord(summary, summary["run_dir"]) for summary in agreement.load_runs(runs_dir))


def build_model(
    name: str, input_shape: tuple[int, int, int], num_classes: int, **settings: Any
) -> Any:
    """A network with freshly drawn weights, whose output is logits.

    Args:
        name: a key of `rt.MODELS`, any `wrn_DEPTH_WIDTH`, or a model of your own,
            `package.module:function` or FILE.keras; or `keras:NAME`, such as keras:ResNet50V2, of
            the networks of `keras.applications`.
        input_shape: (height, width, channels) of the standardised input images.
        num_classes: number of logits.
        **settings: `weight_decay`, `dropout`, `precision`, `sync_batch_norm`, `seed`; see
            `rethink_tf.models.build`.

    Returns:
        A keras.Model from float images [B, H, W, C] to float32 logits [B, num_classes].

    Raises:
        RequestError: no such model.
    """
    from rethink_tf import models
    from rethink_tf.config import fields as config_fields
    from rethink_tf.training.devices import setup as devices

    if not models.accepts(name):
        config_fields.check_choice("model", name, tuple(models.MODELS))
    devices.start()
    return models.build(name, input_shape, num_classes, **settings)


def load_dataset(
    name: str, data_dir: Path | str | None = None, cache_dir: Path | str | None = None
) -> tuple[Split, Split]:
    """The training and the test split of a data set, as NumPy arrays.

    Args:
        name: a key of `rt.DATASETS`, or a set of your own: folder:PATH, npz:FILE, tfds:NAME.
        data_dir: folder of TFDS-prepared sets; None: TFDS_DATA_DIR, else ~/tensorflow_datasets.
        cache_dir: folder of decoded sets; None: ~/.cache/rethink_tf.

    Returns:
        Two Splits with `index` int64 [N], `images` uint8 [N, H, W, C], `labels` int32 [N].

    Raises:
        RequestError: unknown name; not on disk and no network.
    """
    from rethink_tf.training.devices import setup as devices

    return datasets.load(name, data_dir=data_dir, cache_dir=cache_dir, start=devices.start)


def corrupt_labels(
    labels: Any,
    p: float,
    *,
    num_classes: int | None = None,
    seed: int = 0,
    index: Any = None,
    noise: str = "uniform",
) -> np.ndarray:
    """Replaces each label with probability p, as in section 2.1 of the paper; NumPy only.

    Args:
        labels: integers [N] or one-hot [N, K], the true labels.
        p: from 0 to 1.
        num_classes: K; None: the columns of one-hot labels, else the largest label plus one, and at
            least two.
        seed: from 0 to 2**32 - 1.
        index: integers [N], the examples' identities; None: their positions.
        noise: `uniform` draws any class, the true one included; `exclude_true` any other
            class; `pair_flip` the next class; FILE.csv a class that is drawn from the true class's
            row of a matrix (`data.noise_matrix`).

    Returns:
        int32 [N]. An example that is replaced at a smaller p is replaced at a larger p too.

    Raises:
        RequestError: p, seed or noise out of their range, labels that are no classes, or an index
            that is not one whole number for each label.
    """
    true, columns = with_classes("labels", labels, num_classes)
    for name, value in (("corrupt", p), ("seed", seed), ("label_noise", noise)):
        _check(name, value)
    classes = num_classes or num_classes_of(int(true.max()), columns)
    return label_corruptions.corrupt_labels(
        true,
        _identities(index, len(true)),
        corrupt=float(p),
        num_classes=classes,
        seed=seed,
        label_noise=noise,
        matrix=noise_matrix.matrix_of(noise, classes),
    )


def corrupt_pixels(
    images: np.ndarray,
    pixels: str,
    *,
    seed: int = 0,
    index: Any = None,
    split: str = "train",
    pixel_mix: float = 1.0,
    shuffle_fraction: float = 1.0,
) -> np.ndarray:
    """Corrupts images as in section 2.1 of the paper; NumPy only.

    Args:
        images: uint8 [N, H, W, C].
        pixels: `shuffled`, one permutation for all; `random`, one an image; `gaussian`, noise with
            the mean and standard deviation of these images' channels; `original`.
        seed: from 0 to 2**32 - 1.
        index: integers [N], the examples' identities; None: their positions.
        split: `train` or `test`; they have different draws, except for `shuffled`.
        pixel_mix: for `gaussian`: t in (1 - t) image + t noise.
        shuffle_fraction: for `shuffled` and `random`: fraction of the positions that are permuted.

    Returns:
        uint8 [N, H, W, C]; float32 for `gaussian`, never clipped.

    Raises:
        RequestError: images or an index of another dtype or shape, or a value out of its range.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.dtype != np.uint8:
        raise RequestError(
            f"images: expected uint8 [N, H, W, C], received {images.dtype} {list(images.shape)}"
        )
    if split not in SPLITS:
        raise RequestError(f"split: expected train or test, received {split}")
    checked = {"pixels": pixels, "seed": seed, "pixel_mix": pixel_mix}
    for name, value in (checked | {"shuffle_fraction": shuffle_fraction}).items():
        _check(name, value)
    values = images.reshape(-1, images.shape[-1]).astype(np.float64)
    return pixel_corruptions.corrupt_pixels(
        images,
        _identities(index, len(images)),
        Corruption(
            pixels=pixels, pixel_mix=pixel_mix, shuffle_fraction=shuffle_fraction, seed=seed
        ),
        split=SPLITS[split],
        moments=Moments(values.mean(axis=0), values.std(axis=0)),
    )


def _identities(index: Any, count: int) -> np.ndarray:
    """The examples' identities, integers [count]; None: their positions.

    Raises:
        RequestError: another shape, or not whole numbers from 0 to 2**32 - 1.
    """
    if index is None:
        return np.arange(count)
    found = np.asarray(index)
    if found.shape != (count,) or found.dtype.kind not in "iu":
        raise RequestError(
            f"index: expected whole numbers [{count}], received {found.dtype} {list(found.shape)}"
        )
    if count and not (found.min() >= 0 and found.max() < 2**32):
        raise RequestError(
            f"index: expected numbers from 0 to 2**32 - 1, received {found.min()} to {found.max()}"
        )
    return found


def _check(name: str, value: Any) -> None:
    from rethink_tf.config.run_config import check_field

    check_field(name, value)


def audit_labels(true: Any, given: Any, **asked: Any) -> "verdict.Verdict":
    """Names the rule by which given labels were made from true labels.

    Args:
        true, given: integers [N] or one-hot [N, K] of the same examples.
        **asked: `p`, `noise`, `num_classes`, `index`, `again`; see `audit.verdict.labels`.

    Returns:
        A Verdict. `print(verdict)` prints it; `verdict.ok` is whether the labels match p.

    Raises:
        RequestError: lengths that differ, or values that are no classes.
    """
    return verdict.labels(true, given, **asked)


def randomisation_test(model: Any, dataset: Any, **settings: Any) -> Any:
    """The paper's test for your own model and data: does it fit true labels, does it fit noise?

    Args:
        model: a keras.Model (its weights are not used), or a name as for `rt.build_model`.
        dataset: arrays (x_train, y_train, x_test, y_test), or a name as for `rt.load_dataset`.
        **settings: `seeds`, `pixels`, `threshold`, `out`, `options`, and fields of RunConfig such
            as `epochs`; see `rethink_tf.analysis.randomisation_test.run`.

    Returns:
        The figures, a dict that a notebook shows as its page; `result["verdict"]` in words.

    Raises:
        RequestError: no run on true labels, or no run on random labels, finished as DONE.
        StoppedError: it was interrupted; the same call resumes.
    """
    from rethink_tf.analysis import randomisation_test as test

    return test.run(model, dataset, **settings)
