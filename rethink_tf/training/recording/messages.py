"""What a run prints: its configuration, a row per epoch, an estimate of time, a verdict."""

from collections.abc import Callable, Sequence
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
    ("images/s", "images_per_second", 8, ".0f"),
    ("time", "seconds", 6, "s"),
)
_EXPLAINED = {
    "loss": "mean loss of the batches, measured while the weights change",
    "train_running": "accuracy on the same batches",
    "train": "accuracy on the training set after the epoch, given labels",
    "clean": "accuracy on the examples whose given label is the true one",
    "noisy": "accuracy on the examples whose given label is wrong",
    "noisy>true": "accuracy on these noisy examples against their true labels",
    "test": "accuracy on the test set (or held-out examples), true labels",
    "test_loss": "mean loss on the test set (or held-out examples)",
    "rate": "learning rate of the epoch",
    "images/s": "training examples per second, without the first step",
    "time": "seconds of the epoch; the first also compiles",
}
# Columns left out, in this order, if a terminal is narrower than the table.
_LESS_NEEDED = ("rate", "test_loss", "train_running", "images/s", "clean", "loss")
_GAP = "  "
FORWARD = 1 / 3  # share of a training step, whose backward pass costs twice as much

FITTED = 0.9  # share of the training labels below which a run prints that they were not fitted
_BAR_WIDTH = 12
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
    """A run in a few lines: its settings that are not defaults, and facts about it.

    Args:
        config: resolved.
        run_id: its own.
        facts: text by name, a line each; `Model` and `Data` are added to the names of these.
        usual: the resolved defaults of the same model and data set.
    """
    differing = [
        f"{name} {content_hash.brief(getattr(config, name))}"
        for name in FIELDS
        if getattr(config, name) != getattr(usual, name)
    ]
    lines = {
        "Run": run_id,
        "Model": f"{content_hash.shown(config.model)}, {console.counted(config.epochs, 'epoch')}",
        "Data": content_hash.shown(config.dataset),
        "Not default": ", ".join(differing) or "nothing",
    }
    for name in ("Model", "Data"):
        if name in facts:
            lines[name] += f", {facts[name]}"
    facts = {name: value for name, value in facts.items() if name not in lines}
    return "\n".join(f"{name:<14} {printable(str(v))}" for name, v in (lines | facts).items())


def columns(width: int | None = None) -> tuple[str, ...]:
    """The titles of the table of epochs that fit into a width.

    Args:
        width: of the terminal in characters; None for no limit.

    Returns:
        In the order of the table. `epoch`, `train`, `noisy`, `noisy>true`, `test` and `time` are
        always among them.
    """
    widths = {title: characters for title, _, characters, _ in _COLUMNS}
    for title in _LESS_NEEDED:
        if width is None or sum(widths.values()) + len(_GAP) * (len(widths) - 1) <= width:
            break
        del widths[title]
    return tuple(widths)


def legend(shown: Sequence[str]) -> str:
    """A line for each column that is shown; names those that are not."""
    lines = ["", "Columns of the table, accuracies in %:"]
    lines += [f"  {title:<13}  {_EXPLAINED[title]}" for title in shown if title in _EXPLAINED]
    if missing := [title for title, *_ in _COLUMNS if title not in shown]:
        lines += [f"  not shown      {', '.join(missing)}: this terminal is too narrow"]
    return "\n".join(lines)


def header(shown: Sequence[str]) -> str:
    """The titles of the epoch lines."""
    return _GAP.join(f"{title:>{width}}" for title, _, width, _ in _COLUMNS if title in shown)


def epoch_line(line: dict[str, Any], shown: Sequence[str]) -> console.Row:
    """One object of history.jsonl as a fixed-width row of the table of epochs.

    Args:
        line: its keys and values.
        shown: titles of the columns, see `columns`.
    """
    timing = line["timing"]
    seconds = timing["train_seconds"] + timing["eval_seconds"]
    values = line | {"images_per_second": timing["images_per_second"], "seconds": seconds}
    return console.Row(
        _GAP.join(
            f"{_cell(values.get(key), width, form):>{width}}"
            for title, key, width, form in _COLUMNS
            if title in shown
        )
    )


def _cell(value: Any, width: int, form: str) -> str:
    if value is None:
        return "-"
    if form == "%":
        return f"{100 * value:.2f}"
    if form == "s":
        return f"{value:.{0 if value >= 999.5 else 1}f}s"
    text = f"{value:{form}}"
    return text if len(text) <= width else f"{value:.1e}"


def seconds_of(
    steps: int, seconds_per_step: float, batch_size: int, evaluations: int, evaluated: int
) -> float:
    """The time that training steps and evaluations take.

    Args:
        steps: of training.
        seconds_per_step: of one of them.
        batch_size: training examples of a step.
        evaluations: how often everything is evaluated.
        evaluated: examples of an evaluation: of the training and of the test set.
    """
    forward = FORWARD * seconds_per_step / batch_size
    return steps * seconds_per_step + evaluations * evaluated * forward


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
            "\n  long on a CPU; a shorter run has fewer --examples or --epochs,"
            "\n  --precision=mixed_bfloat16, or a smaller network such as --model=mlp_1x512"
        )
    return text


def compiled(seconds: float, xla: bool) -> str:
    """How long the first step of a process took: nearly all of it is tracing and compiling."""
    return f"compiling the first step{' with XLA' if xla else ''}: {seconds:.1f} s"


class Progress:
    """The live line of a run: how far the epoch is; in a notebook how far the run is.

    Nothing where the output is no terminal, or where the lines go to another place than
    `console.say`.

    Args:
        total: training examples of an epoch.
        epochs: of the run.
        say: takes the lines of the run.
    """

    def __init__(self, total: int, epochs: int, say: Callable[[str], None] = console.say):
        self.total, self.epochs = total, epochs
        self.shown = say is console.say and console.is_live()
        console.end_live()  # the line of an earlier run

    def update(self, epoch: int, done: int, running: dict[str, float]) -> None:
        """Redraws the line: examples of this epoch so far, with the running means."""
        if not self.shown:
            return
        seen = max(running["seen"], 1)
        filled = _BAR_WIDTH * done // self.total
        bar = "" if console.in_notebook() else f"[{'=' * filled:<{_BAR_WIDTH}}]"
        console.show_live(
            f"epoch {epoch}/{self.epochs} {bar} {done:,}/{self.total:,}  "
            f"loss {running['loss_sum'] / seen:.4f}  "
            f"train_running {100 * running['correct'] / seen:.2f}",
            (epoch - 1 + done / self.total) / self.epochs,
        )

    def compiling(self) -> None:
        """Says why nothing moves yet."""
        if self.shown:
            console.show_live("compiling the first step ...", 0.0)

    def clear(self) -> None:
        """Takes the line away; the bar of a notebook stays."""
        console.clear_live()


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}%"


def _epochs(summary: dict[str, Any]) -> str:
    return f"{summary['epochs']} epoch{'s' if summary['epochs'] > 1 else ''}"


def _pixels(config: RunConfig) -> str:
    """The kind of pixels in words, with its degree, and what it is tested on if that differs."""
    tested = "" if config.test_pixels == "as_trained" else ", tested on images as they are"
    return f"{_kind_of_pixels(config)}{tested}"


def _kind_of_pixels(config: RunConfig) -> str:
    if config.pixels == "gaussian":
        kind = "Gaussian noise"
        return kind if config.pixel_mix == 1 else f"images mixed with {config.pixel_mix:g} of noise"
    share = "" if config.shuffle_fraction == 1 else f" ({config.shuffle_fraction:g} of them)"
    order = "one permutation for all images" if config.pixels == "shuffled" else "one per image"
    return f"permuted pixels{share}, {order}"


def not_kept(epochs: list[int]) -> str:
    """Names the epochs of --keep_epochs that the run had already passed."""
    return (
        f"--keep_epochs: passed already, so their weights are not kept: epoch"
        f"{'s'[: len(epochs) > 1]} {', '.join(map(str, epochs))}"
    )


def _table2(row: paper.Table2Row, summary: dict[str, Any], config: RunConfig) -> str:
    """Top-1 and top-5 of a row of Table 2 and of a run, with the best so far in parentheses."""

    def cells(value: Any) -> str:
        parts = []
        for part in ("train", "test"):
            for kind in ("", "top5_"):
                one, best = value(f"{part}_{kind}accuracy"), value(f"best_{part}_{kind}accuracy")
                text = "-" if one is None else f"{100 * one:.2f}%"
                parts.append(text + ("" if best is None else f" ({100 * best:.2f}%)"))
        return "train {}, top-5 {}; test {}, top-5 {}".format(*parts)

    theirs = cells(lambda key: getattr(row, key, None))
    examples = summary.get("train_examples") or 0
    return (
        f"\n  paper, Table 2, 1,281,167 examples at 299x299: {theirs}"
        f"\n  ours, {examples:,.0f} examples at {config.input_size}x"
        f"{config.input_size}, {_epochs(summary)}: {cells(summary.get)}"
    )


def verdict(summary: dict[str, Any], config: RunConfig) -> str:
    """What the run showed, in words that do not need the paper."""
    if summary["status"] == results.DONE:
        text = _shown(summary, config)
    else:
        text = f"{summary['status']}: {summary['reason']}"
    if summary.get("exact") is False:
        text += (
            "\n  not exact, an uninterrupted run may end otherwise: it was resumed with "
            "--resume=anyway " + ", and ".join(summary["differed"])
        )
    return text


def _shown(summary: dict[str, Any], config: RunConfig) -> str:
    train, test = summary["train_accuracy"], summary["test_accuracy"]
    changed = summary["changed_fraction"]
    where = _CHANCE[check.at_chance(summary)]
    tested = f"labels of {config.held_out:,} held-out training examples"
    if not config.held_out:
        tested = "test labels"
    if config.corrupt == 1 and config.label_noise == "uniform":
        memorised = (
            "it memorised" if train >= FITTED else f"not memorised within {_epochs(summary)}"
        )
        text = (
            f"fits {_percent(train)} of labels drawn at random; predicts true {tested} "
            f"{where} ({_percent(test)}): {memorised}"
        )
    elif changed:
        text = (
            f"{_percent(changed)} of the labels are wrong; fits "
            f"{_percent(summary['clean_accuracy'])} of the clean and "
            f"{_percent(summary['corrupted_accuracy'])} of the noisy ones; predicts "
            f"{_percent(test)} of the {tested} (best so far "
            f"{_percent(summary['best_test_accuracy'])})"
        )
    else:
        text = f"fits {_percent(train)} of the true labels; predicts {_percent(test)} of the "
        text += f"{tested}: "
        if train >= FITTED:
            text += f"a gap of {100 * (train - test):.1f} points"
        else:
            text += f"not fitted within {_epochs(summary)}"
            text += ", trained too little to judge the network" if train < 0.5 else ""
    if config.pixels != "original":
        text = f"on {_pixels(config)}: {text}"
    first = paper.table1_row(config)
    if first:
        row, full = first
        note = "" if full else ", at all 50,000 examples and full length"
        text += (
            f"\n  paper, Table 1{note}: train {_percent(row.train_accuracy)}, "
            f"test {100 * row.test_accuracy:.2f}%"
            f"; ours: train {_percent(train)}, test {100 * test:.2f}%"
        )
    second = paper.table2_row(config)
    if second is not None:
        text += _table2(second, summary, config)
    fourth = paper.table4_row(config)
    if fourth is not None:
        expected = paper.FAILED if fourth.accuracy is None else _percent(fourth.accuracy)
        text += (
            f"\n  paper, Table 4, running accuracy on the training batches: {expected}; "
            f"ours: {_percent(summary['accuracy'])} after {_epochs(summary)}"
        )
        text += "" if config.examples is None else f" on {config.examples:,} examples"
    return text
