"""What distinguishes a network that learnt from one that memorised? Measures of finished runs.

    rethink-tf measures RUN [RUN ...]

Norms, margins, distance from initialisation, sharpness and, with --signs, the empirical Rademacher
complexity of each run's network, side by side: for example of a run on true labels and one on
random labels. Every number is measured now, from the weights that the run ended with.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rethink_tf import console
from rethink_tf.config.run_config import FIELDS
from rethink_tf.errors import RequestError
from rethink_tf.runs import description
from rethink_tf.storage.paths import absolute

EXAMPLES, DRAWS = 1000, 5  # examples and random directions for the sharpness
MARGIN = 10  # percentile, as in Jiang et al. (2020)
# key: the title of its row in the table, and the format of its numbers
ROWS = {
    "train_accuracy": ("training accuracy, labels as given (%)", "percent"),
    "test_accuracy": ("test accuracy (%)", "percent"),
    "parameters": ("trainable parameters", "count"),
    "l2": ("l2 norm of the weights", "plain"),
    "l2_initial": ("l2 norm of the initial weights", "plain"),
    "distance": ("distance from initialisation, l2", "plain"),
    "relative_distance": ("  over the norm of the initial weights", "plain"),
    "log10_spectral_product": ("product of spectral norms, log10", "plain"),
    "log10_frobenius_product": ("product of Frobenius norms, log10", "plain"),
    "log10_spectral_distance": ("spectral norms and distances, log10", "plain"),
    "log10_path": ("path norm, log10", "plain"),
    "margin_p10": ("margin, 10th percentile", "plain"),
    "margin_median": ("margin, median", "plain"),
    "margin_over_spectral": ("  10th percentile over spectral product", "plain"),
    "margin_over_path": ("  10th percentile over path norm", "plain"),
    "log10_spectral_complexity": ("spectral norms, distances, margin, log10", "plain"),
    "sharpness": ("sharpness, 1 / sigma", "plain"),
    "sharpness_relative": ("sharpness relative to the weights, 1 / sigma", "plain"),
    "rademacher": ("Rademacher complexity, at least", "plain"),
}


def margins(logits: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Logit of the given label minus the largest other: [N, K], int [N] -> float64 [N]."""
    logits = logits.astype(np.float64)
    rows = np.arange(len(given))
    own = logits[rows, given]
    logits[rows, given] = -np.inf
    return own - logits.max(axis=1)


def margin_statistics(margin: np.ndarray, norms: dict[str, Any]) -> dict[str, float | None]:
    """Percentiles of margins, and percentiles divided by norms of the weights.

    Args:
        margin: float64 [N], of `margins`.
        norms: of `weight_norms.all_norms`.

    Returns:
        `margin_min`, `margin_p10`, `margin_median`, `margin_max`; `margin_over_spectral` and
        `margin_over_path`, the 10th percentile over the product of the spectral norms and over the
        path norm, None where float64 does not hold it; `log10_spectral_complexity`, of
        Prod s^2 * Sum ||W - W0||_F^2 / s^2 over the squared 10th percentile (Neyshabur et al.,
        2018, without its constants), None where the percentile is not positive.
    """
    low = float(np.percentile(margin, MARGIN))
    complexity = norms["log10_spectral_distance"] - 2 * math.log10(low) if low > 0 else None
    return {
        "margin_min": float(margin.min()),
        "margin_p10": low,
        "margin_median": float(np.median(margin)),
        "margin_max": float(margin.max()),
        "margin_over_spectral": _over(low, norms["log10_spectral_product"]),
        "margin_over_path": _over(low, norms["log10_path"]),
        "log10_spectral_complexity": complexity,
    }


def _over(margin: float, log10: float) -> float | None:
    """margin / 10**log10; None where float64 does not hold it."""
    ratio = margin * 10.0**-log10 if abs(log10) < 300 else math.nan
    return ratio if math.isfinite(ratio) else None


def measure_run(
    run_dir: Path | str,
    *,
    examples: int = EXAMPLES,
    draws: int = DRAWS,
    signs: int = 0,
    data_dir=None,
    cache_dir=None,
    say: Callable[[str], None] = console.say,
    progress: Callable[[str, float], object] = lambda stage, share: None,
) -> dict[str, Any]:
    """All measures of one finished run. Needs TensorFlow running (`devices.start`).

    Args:
        run_dir: its folder.
        examples: training examples on which sharpness is taken, evenly spaced over the set.
        draws: of the noise of sharpness.
        signs: draws of random signs, each a training as long as the run; 0 for none.
        data_dir, cache_dir: where its data lie, see `registry.load`.
        say: takes lines for the reader.
        progress: gets a stage and the share of it that is done.

    Returns:
        Plain values: the keys of ROWS and of `weight_norms.all_norms`, `margin_statistics` and
        `sharpness.measure`, and `run_id`, `weights_hash`, `name`, `run_dir`, `changed_fraction`,
        `recorded_train_accuracy`.

    Raises:
        RequestError, StorageError: see `restore.read`; a layer's norm is not known.
    """
    from rethink_tf.analysis import weight_norms
    from rethink_tf.training import restore

    places = {"data_dir": data_dir, "cache_dir": cache_dir, "say": say}
    run = restore.read(run_dir, **places)
    try:
        norms = weight_norms.all_norms(run.model, run.initial, run.input_shape)
    except NotImplementedError as error:
        raise RequestError(f"{run_dir}: {run.config.model}: {error}") from None
    whole = run.forward(progress=lambda share: progress("all training examples", share))
    logits, given = whole(), run.given()
    sharp = _sharpness(run, examples, draws, progress)
    complexity = _complexity(run, signs, progress, **places) if signs else None
    return {
        "run_id": run.summary["run_id"],
        "weights_hash": run.summary["weights_hash"],
        "name": description.run_name(absolute(run_dir)),
        "run_dir": str(run_dir),
        "changed_fraction": run.summary["changed_fraction"],
        "train_accuracy": float(np.mean(logits.argmax(axis=1) == given)),
        "recorded_train_accuracy": run.summary["train_accuracy"],
        "test_accuracy": run.summary["test_accuracy"],
        **norms,
        **margin_statistics(margins(logits, given), norms),
        **sharp,
        "sharpness_examples": len(run.given(examples)),
        "sharpness_draws": draws,
        "rademacher": complexity,
    }


def _sharpness(run, examples: int, draws: int, progress) -> dict[str, Any]:
    """The sharpness of a run's weights on some of its training examples."""
    from rethink_tf.analysis import sharpness

    forward, given = run.forward(examples), run.given(examples)
    variables = run.model.trainable_variables

    def accuracy(values):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        return float(np.mean(forward().argmax(axis=1) == given))

    return sharpness.measure(
        [variable.numpy() for variable in variables],
        accuracy,
        draws=draws,
        seed=run.config.seed,
        progress=lambda share: progress("sharpness", share),
    )


def _complexity(run, signs: int, progress, **places) -> float:
    """The correlation that a run's network reaches with random signs, in as many epochs."""
    from rethink_tf.analysis import rademacher

    plain: dict[str, Any] = {name: FIELDS[name].default for name in rademacher.LABELS}
    config = dataclasses.replace(run.config, **plain)
    epochs = run.summary["epochs"]
    drawn = rademacher.run(config, draws=signs, epochs=epochs, **places, progress=progress)
    return drawn["complexity"]


def _written(value, kind: str) -> str:
    if value is None:
        return "-"
    if kind == "percent":
        return f"{100 * value:.2f}"
    return f"{value:,}" if kind == "count" else f"{value:#.4g}".rstrip(".")


def table(runs: Sequence[dict[str, Any]], places: Sequence[str]) -> str:
    """The measures as text, a row each and a column for every run.

    Args:
        runs: what `measure_run` returned of each.
        places: where each run lies, as it was typed.
    """
    columns = [[_written(run[key], kind) for key, (_, kind) in ROWS.items()] for run in runs]
    names = [f"[{number}]" for number in range(1, len(runs) + 1)]
    lines = [
        f"{name} {run['name']}: {place}"
        for name, run, place in zip(names, runs, places, strict=True)
    ]
    titles = [title for title, _ in ROWS.values()]
    rows = zip(titles, *columns, strict=True)
    return "\n".join([*lines, "", console.aligned([["", *names], *rows])])
