"""What a run prints: its configuration, a line an epoch, an estimate of time, a verdict."""

import sys
import time
from typing import Any

from rethink_tf import console
from rethink_tf.audit import check
from rethink_tf.config import paper
from rethink_tf.config.run_config import FIELDS, RunConfig
from rethink_tf.printable import printable
from rethink_tf.runs import results
from rethink_tf.storage import content_hash

_COLUMNS = (
    # title, key, width, format; accuracies in percent
    ("epoch", "epoch", 5, "d"),
    ("loss", "loss", 8, ".4f"),
    ("train_running", "accuracy", 13, "%"),
    ("train", "train_accuracy", 6, "%"),
    ("clean", "clean_accuracy", 6, "%"),
    ("noisy", "corrupted_accuracy", 6, "%"),
    ("noisy>true", "corrupted_original_accuracy", 10, "%"),
    ("test", "test_accuracy", 6, "%"),
    ("test_loss", "test_loss", 9, ".4f"),
    ("rate", "learning_rate", 8, ".5f"),
)
LEGEND = """\
accuracies in %: the first two columns are of the batches while training, all others are measured
after the epoch, on every example:
  loss           mean training loss of the epoch's batches, while training
  train_running  accuracy on the epoch's batches, while training
  train          training set, labels as given
  clean          training examples whose label was not changed
  noisy          training examples whose label was changed, against the given label
  noisy>true     the same examples, against their true label
  test           test set, true labels; test_loss is its mean loss"""

_CHANCE = {True: "at chance", False: "NOT at chance", None: "(chance could not be tested)"}


def configuration(config: RunConfig, run_id: str, facts: dict[str, Any]) -> str:
    """The resolved configuration in one block, fields by group, then facts of the run."""
    groups: dict[str, list[str]] = {}
    for name, field in FIELDS.items():
        value = getattr(config, name)
        whole = name == "examples" and value is None
        text = f"{name} {'all' if whole else printable(content_hash.brief(value))}"
        groups.setdefault(field.metadata["group"], []).append(text)
    lines = [f"run {run_id}"]
    lines += [f"  {group:<24} {', '.join(items)}" for group, items in groups.items()]
    lines += [f"  {name:<24} {value}" for name, value in facts.items()]
    return "\n".join(lines)


def introduction(config: RunConfig, run_id: str, facts: dict[str, Any], usual: RunConfig) -> str:
    """What a run is, in a few lines: what differs from the defaults, and facts of the run.

    Args:
        config: resolved.
        run_id: its own.
        facts: words by name, a line each.
        usual: the resolved defaults of the same model and data set.
    """
    differing = [
        f"{name} {content_hash.brief(getattr(config, name))}"
        for name in FIELDS
        if getattr(config, name) != getattr(usual, name)
    ]
    dataset = content_hash.shown(config.dataset)
    lines = {
        "Run": run_id,
        "Trained": f"{content_hash.shown(config.model)} on {dataset}, {config.epochs} epochs",
        "Not default": ", ".join(differing) or "nothing",
    }
    return "\n".join(f"{name:<14} {printable(str(v))}" for name, v in (lines | facts).items())


def header() -> str:
    """The titles of the epoch lines."""
    return "  ".join(f"{title:>{width}}" for title, _, width, _ in _COLUMNS) + "  images/s    time"


def epoch_line(line: dict[str, Any]) -> str:
    """One object of history.jsonl as a fixed-width line."""
    cells = []
    for _, key, width, form in _COLUMNS:
        value = line.get(key)
        if value is None:
            text = "-"
        else:
            text = f"{100 * value:.2f}" if form == "%" else f"{value:{form}}"
            if len(text) > width:
                text = f"{value:.1e}"
        cells.append(f"{text:>{width}}")
    timing = line["timing"]
    rate, seconds = timing["images_per_second"], timing["train_seconds"] + timing["eval_seconds"]
    speed = "-" if rate is None else f"{rate:.0f}"
    lasted = f"{seconds:.{0 if seconds >= 999.5 else 1}f}"
    return "  ".join(cells) + f"  {speed:>8}  {lasted:>5}s"


def estimate(seconds: float, rate: float, on_cpu: bool, resumed: bool = False) -> str:
    """The time that the run will take, and what to type for a shorter one where it is long.

    Args:
        seconds: of the whole run, or of what is left of a resumed one.
        rate: images per second in training.
        on_cpu: whether there is no GPU.
        resumed: whether the run resumes from a checkpoint.
    """
    what = "for what is left" if resumed else "in all"
    text = f"about {console.duration(seconds)} {what}, at {rate:.0f} images/s"
    if on_cpu and seconds > 1800:
        text += (
            "\n  that is long on a CPU; for a shorter run add for example "
            "--examples=5000 --epochs=30 --precision=mixed_bfloat16, or take --model=mlp_1x512"
        )
    return text


def compiled(seconds: float, xla: bool) -> str:
    """How long the first step of a process took: nearly all of it is tracing and compiling."""
    return f"compiling the first step{' with XLA' if xla else ''}: {seconds:.1f} s"


class Progress:
    """A bar within the epoch on a terminal; nothing where the output is piped."""

    def __init__(self, total: int, shown: bool = True):
        self.total = total
        self.shown = shown and sys.stdout.isatty()
        self.started = time.monotonic()

    def update(self, epoch: int, done: int, running: dict[str, float]) -> None:
        """Redraws the bar: examples done of this epoch, with the running means so far."""
        if not self.shown:
            return
        filled = 30 * done // self.total
        seen = max(running["seen"], 1)
        print(
            f"\r{epoch:5d}  [{'=' * filled}{' ' * (30 - filled)}] {done}/{self.total}  "
            f"loss {running['loss_sum'] / seen:.4f}  "
            f"train_running {100 * running['correct'] / seen:.2f}%",
            end="\033[K",
            flush=True,
        )

    def compiling(self) -> None:
        """Says why nothing moves yet."""
        if self.shown:
            print("\rcompiling the first step ...", end="\033[K", flush=True)

    def clear(self) -> None:
        """Takes the bar away."""
        if self.shown:
            print("\r\033[K", end="", flush=True)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}%"


def _epochs(summary: dict[str, Any]) -> str:
    return f"{summary['epochs']} epoch{'s' if summary['epochs'] > 1 else ''}"


def _pixels(config: RunConfig) -> str:
    """The kind of pixels in words, with its degree."""
    if config.pixels == "gaussian":
        kind = "Gaussian noise"
        return kind if config.pixel_mix == 1 else f"images mixed with {config.pixel_mix:g} of noise"
    share = "" if config.shuffle_fraction == 1 else f" ({config.shuffle_fraction:g} of them)"
    order = "one permutation for all images" if config.pixels == "shuffled" else "one per image"
    return f"permuted pixels{share}, {order}"


def not_kept(epochs: list[int]) -> str:
    """Which epochs of --keep_epochs the run had behind it before they were asked for."""
    return (
        f"--keep_epochs: passed already, so their weights are not kept: epoch"
        f"{'s'[: len(epochs) > 1]} {', '.join(map(str, epochs))}"
    )


def _table2(row: paper.Table2Row, summary: dict[str, Any], config: RunConfig) -> str:
    """Top-1 and top-5 of a row of Table 2 and of a run, with the best so far in parentheses."""

    def cells(value: Any) -> str:
        found = []
        for part in ("train", "test"):
            for kind in ("", "top5_"):
                one, best = value(f"{part}_{kind}accuracy"), value(f"best_{part}_{kind}accuracy")
                text = "-" if one is None else f"{100 * one:.2f}%"
                found.append(text + ("" if best is None else f" ({100 * best:.2f}%)"))
        return "train {}, top-5 {}; test {}, top-5 {}".format(*found)

    theirs = cells(lambda key: getattr(row, key, None))
    examples = summary.get("train_examples") or 0
    return (
        f"\n  paper, Table 2, 1,281,167 examples at 299x299: {theirs}"
        f"\n  ours, {examples:,.0f} examples at {config.input_size}x"
        f"{config.input_size}, {_epochs(summary)}: {cells(summary.get)}"
    )


def verdict(summary: dict[str, Any], config: RunConfig) -> str:
    """What the run showed, in words that need no paper."""
    if summary["status"] == results.DONE:
        words = _shown(summary, config)
    else:
        words = f"{summary['status']}: {summary['reason']}"
    if summary.get("exact") is False:
        words += (
            "\n  not exact, an uninterrupted run may end otherwise: it was resumed with "
            "--resume=anyway " + ", and ".join(summary["differed"])
        )
    return words


def _shown(summary: dict[str, Any], config: RunConfig) -> str:
    train, test = summary["train_accuracy"], summary["test_accuracy"]
    changed = summary["changed_fraction"]
    where = _CHANCE[check.at_chance(summary)]
    if config.corrupt == 1 and config.label_noise == "uniform":
        memorised = "it memorised" if train >= 0.9 else f"not memorised within {_epochs(summary)}"
        words = (
            f"fits {_percent(train)} of labels drawn at random; predicts true test labels "
            f"{where} ({_percent(test)}): {memorised}"
        )
    elif changed:
        words = (
            f"{_percent(changed)} of the labels are wrong; fits "
            f"{_percent(summary['clean_accuracy'])} of the clean and "
            f"{_percent(summary['corrupted_accuracy'])} of the noisy ones; predicts "
            f"{_percent(test)} of the test labels (best so far "
            f"{_percent(summary['best_test_accuracy'])})"
        )
    else:
        words = (
            f"fits {_percent(train)} of the true labels; predicts {_percent(test)} of the test "
            f"labels: a gap of {100 * (train - test):.1f} points"
        )
    if config.pixels != "original":
        words = f"on {_pixels(config)}: {words}"
    found = paper.table1_row(config)
    if found:
        row, full = found
        note = "" if full else ", at all 50,000 examples and full length"
        words += (
            f"\n  paper, Table 1{note}: train {_percent(row.train_accuracy)}, "
            f"test {100 * row.test_accuracy:.2f}%"
            f"; ours: train {_percent(train)}, test {100 * test:.2f}%"
        )
    second = paper.table2_row(config)
    if second is not None:
        words += _table2(second, summary, config)
    fourth = paper.table4_row(config)
    if fourth is not None:
        expected = paper.FAILED if fourth.accuracy is None else _percent(fourth.accuracy)
        words += (
            f"\n  paper, Table 4, running accuracy on the training batches: {expected}; "
            f"ours: {_percent(summary['accuracy'])} after {_epochs(summary)}"
        )
        words += "" if config.examples is None else f" on {config.examples:,} examples"
    return words
