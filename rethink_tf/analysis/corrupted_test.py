"""The error of a finished run on test labels that are corrupted like its training labels.

Figure 1c of the paper shows test error against label corruption. The paper does not state whether
its test labels were the true ones. This computes both errors of one network: on the true test
labels, and on test labels of which each was replaced with the run's own probability. Only this
module uses corrupted test labels: no training, evaluation or summary of a run has them.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rethink_tf.config.run_config import RunConfig
from rethink_tf.corruptions import labels
from rethink_tf.corruptions.threefry import SplitId
from rethink_tf.data import noise_matrix
from rethink_tf.errors import RequestError, StorageError
from rethink_tf.storage import files

FILE = "corrupted_test.json"
# Another batch size rounds logits differently: one prediction in ten thousand may change.
_APART = 5e-4


@dataclasses.dataclass(frozen=True)
class CorruptedTestError:
    """Errors of one network on its test set, fractions from 0 to 1.

    Attributes:
        run_id: of the run.
        weights_hash: of the network that was evaluated.
        corrupt: p, the probability with which a label is replaced.
        test_examples: size of the test set.
        error: on the true test labels.
        expected_error: on corrupted test labels, if these are independent of the network's
            mistakes; see the function `expected_error`.
        corrupted_errors: measured on corrupted test labels, one for each draw.
    """

    run_id: str
    weights_hash: str
    corrupt: float
    test_examples: int
    error: float
    expected_error: float
    corrupted_errors: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean of the errors on corrupted test labels over the draws."""
        return float(np.mean(self.corrupted_errors))

    @property
    def std(self) -> float:
        """Standard deviation (n - 1) of one draw of test labels."""
        return float(np.std(self.corrupted_errors, ddof=1))


def expected_error(error: float, corrupt: float, num_classes: int) -> float:
    """The error to expect on test labels that uniform noise replaces.

    Args:
        error: on the true test labels, a fraction.
        corrupt: probability with which a label is replaced by a uniform class, 0 to 1.
        num_classes: K.
    """
    return 1 - (1 - corrupt) * (1 - error) - corrupt / num_classes


def errors(
    predicted: np.ndarray,
    true: np.ndarray,
    index: np.ndarray,
    *,
    corrupt: float,
    num_classes: int,
    label_noise: str = "uniform",
    matrix: np.ndarray | None = None,
    draws: int,
) -> tuple[float, float, tuple[float, ...]]:
    """Errors on true test labels, expected on corrupted ones, and measured on corrupted ones.

    Args:
        predicted: integer [N], predicted classes.
        true: integer [N], true test labels.
        index: integer [N], identities of the test examples.
        corrupt: probability with which a label is replaced, 0 to 1.
        num_classes: K.
        label_noise: `uniform`, `exclude_true` or `pair_flip` (see `corruptions.labels`).
        matrix: of class-dependent noise, in place of `label_noise`.
        draws: how often the test labels are corrupted anew, at least 2.

    Returns:
        The three errors, fractions; the last has one value per draw. The expected error is of
        `uniform` noise; of other kinds it is the mean of the draws.
    """
    error = float(np.mean(predicted != true))
    drawn = []
    for seed in range(draws):
        given = labels.corrupt_labels(
            true,
            index,
            corrupt=corrupt,
            num_classes=num_classes,
            seed=seed,
            label_noise=label_noise,
            matrix=matrix,
            split=SplitId.TEST,
        )
        drawn.append(float(np.mean(predicted != given)))
    expected = float(np.mean(drawn))
    if label_noise == "uniform":
        expected = expected_error(error, corrupt, num_classes)
    return error, expected, tuple(drawn)


def measure(
    run_dir: Path | str,
    *,
    draws: int,
    data_dir: str | None = None,
    cache_dir: str | None = None,
    say: Callable[[str], None] = print,
) -> CorruptedTestError:
    """The errors of a finished run on true and on corrupted test labels. Needs TensorFlow running.

    The network is read from the run's last checkpoint, and its weights must have the hash that the
    summary names. Its error on the true test labels must be the one that the run recorded.

    Args:
        run_dir: folder of a finished run with uniform, or other drawn, label noise.
        draws: of corrupted test labels, 2 to 1,000.
        data_dir, cache_dir: where its data lie.
        say: takes lines for the reader.

    Raises:
        RequestError: the run has no drawn label noise, or cannot be read back (`restore.read`).
        StorageError: the error on true test labels is not the one that the run recorded.
    """
    from rethink_tf.training import restore

    run = restore.read(run_dir, data_dir=data_dir, cache_dir=cache_dir, say=say)
    config: RunConfig = run.config
    if config.labels_from is not None:
        raise RequestError(
            f"{run_dir}: expected a run with --corrupt; the labels of this run come from a file, "
            "so there is no rule by which test labels can be corrupted"
        )
    predicted = run.forward(split="test")().argmax(axis=-1)
    table = run.test
    error, expected, corrupted = errors(
        predicted,
        table.true,
        table.index,
        corrupt=config.corrupt,
        num_classes=table.num_classes,
        label_noise=config.label_noise,
        matrix=noise_matrix.matrix_of(config.label_noise, table.num_classes),
        draws=draws,
    )
    recorded = 1 - run.summary["test_accuracy"]
    if abs(error - recorded) > _APART:
        raise StorageError(
            f"{run.run_dir}: expected a test error of {recorded:.4f}, the one in its summary; "
            f"its checkpoint gives {error:.4f} on these data"
        )
    return CorruptedTestError(
        run.summary["run_id"],
        run.summary["weights_hash"],
        config.corrupt,
        table.num_examples,
        error,
        expected,
        corrupted,
    )


def write(result: CorruptedTestError, run_dir: Path) -> Path:
    """Writes a result into its run's folder, as `corrupted_test.json`; returns the path."""
    path = run_dir / FILE
    files.write_json(path, dataclasses.asdict(result))
    return path


def read(run_dir: Path, summary: dict[str, Any]) -> CorruptedTestError | None:
    """The result in a run's folder; None if there is none.

    Raises:
        StorageError: it is damaged, or of another run, of other weights, or of another test error
            than the run's.
    """
    path = run_dir / FILE
    content = files.read_json(path)
    if content is None:
        return None
    names = {field.name for field in dataclasses.fields(CorruptedTestError)}
    if not isinstance(content, dict) or set(content) != names:
        raise StorageError(f"{path}: damaged: expected {', '.join(sorted(names))}")
    again = "delete the file and type rethink-tf corrupted-test again"
    for name in ("run_id", "weights_hash"):
        if content[name] != summary.get(name):
            raise StorageError(
                f"{path}: expected a result for {name} {summary.get(name)!s:.60}, found one for "
                f"{content[name]!s:.60}; {again}"
            )
    drawn = content["corrupted_errors"]
    fractions = [content[name] for name in ("corrupt", "error", "expected_error")]
    whole = isinstance(drawn, list) and len(drawn) >= 2
    if not (whole and all(map(_is_fraction, [*fractions, *drawn]))):
        raise StorageError(f"{path}: damaged: expected fractions from 0 to 1; {again}")
    accuracy = summary.get("test_accuracy")  # None where the run diverged
    if accuracy is None or abs(content["error"] - (1 - accuracy)) > _APART:
        raise StorageError(
            f"{path}: expected the error of a test accuracy of {accuracy}, the one in the run's "
            f"summary, found {content['error']}; {again}"
        )
    return CorruptedTestError(**content | {"corrupted_errors": tuple(drawn)})


def _is_fraction(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 <= value <= 1
