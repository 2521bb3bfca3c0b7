"""Describes a run as text: its network, data, corruption and seed."""

from pathlib import Path
from typing import Any

from rethink_tf.config.fields import from_stored
from rethink_tf.config.run_config import RunConfig
from rethink_tf.errors import RequestError, StorageError
from rethink_tf.runs import agreement, pretrained, results
from rethink_tf.storage import content_hash

PIXEL_TITLES = {
    "original": "original pixels",
    "shuffled": "shuffled pixels",
    "random": "random pixels",
    "gaussian": "Gaussian pixels",
}


_AUGMENT = {"crop": "random crop", "flip_rotate": "flip and rotation", "inception": "distorted"}


def pixels_in_words(config: RunConfig) -> list[str]:
    """What was done to the pixels, as a list of phrases."""
    parts = [PIXEL_TITLES.get(config.pixels, str(config.pixels))]
    if config.pixel_mix != 1:
        parts.append(f"mix t = {config.pixel_mix:g}")
    if config.shuffle_fraction != 1:
        parts.append(f"fraction {config.shuffle_fraction:g}")
    if config.augment != "none":
        parts = [_AUGMENT.get(config.augment, str(config.augment))]
    return parts


def labels_in_words(config: RunConfig, noisy: bool) -> list[str]:
    """What was done to the labels, as a list of phrases."""
    if not noisy:
        return ["true labels"]
    if config.labels_from is not None:
        return ["labels from a file"]
    kind = "" if config.label_noise == "uniform" else f", {content_hash.shown(config.label_noise)}"
    return [f"labels at p = {config.corrupt:g}{kind}"]


def shown_value(name: str, value: Any) -> Any:
    """A field's value as a hyperparameter of TensorBoard, where null cannot be shown."""
    return value if value is not None else "all" if name == "examples" else "none"


def stored_config(run_dir: Path) -> RunConfig | None:
    """The configuration in a run's config.json; a field that an older version lacked is default."""
    stored = (results.read_config(run_dir) or {}).get("config")
    if not isinstance(stored, dict) or not {"model", "dataset"} <= set(stored):
        return None
    try:
        return from_stored(RunConfig, stored)
    except RequestError as error:
        raise StorageError(f"{run_dir}/{results.CONFIG}: damaged: {error}") from None


def run_name(run_dir: Path) -> str:
    """A run in words, from its config.json; the name of its folder if there is none."""
    config = stored_config(run_dir)
    if config is None:
        return run_dir.resolve().name
    parts = [content_hash.shown(config.model), content_hash.shown(config.dataset)]
    if config.examples is not None:
        parts.append(f"{config.examples:,} examples")
    if config.pixels != "original" or config.augment != "none":
        parts += pixels_in_words(config)
    parts += labels_in_words(config, config.corrupt > 0 or config.labels_from is not None)
    parts += pretrained.parent_in_words(config)
    parts += [f"seed {config.seed}"] if config.seed else []
    summary = agreement.read_summary(run_dir)
    if summary is None or summary["status"] != results.DONE:
        parts.append("unfinished" if summary is None else summary["status"])
    if summary is not None and agreement.before_seals(summary):
        parts.append("older record")
    return ", ".join(parts)
