"""The result of a randomisation test: numbers for each case, and a verdict as text.

Works on summaries and histories alone. Imports no TensorFlow.
"""

import dataclasses
import statistics
from typing import Any

from rethink_tf.console import counted

# Below so many classes the audit cannot tell chance from a leak of true labels.
FEW_CLASSES = 7
FEW_TEST = 100
# Share of the range above chance; an accuracy below it (and below twice chance) is "little".
ABOVE = 0.1
NEARLY = 0.9  # share of random labels fitted that shows enough capacity, though below the threshold


@dataclasses.dataclass(frozen=True)
class Run:
    """One finished run: its case ("true labels", ...), seed, summary and history."""

    case: str
    seed: int
    summary: dict[str, Any]
    history: list[dict[str, Any]]

    def reached(self, threshold: float) -> int | None:
        """The first evaluated epoch with an exact training accuracy of at least `threshold`."""
        for line in self.history:
            accuracy = line.get("train_accuracy")
            if accuracy is not None and accuracy >= threshold:
                return line["epoch"]
        return None


def spread(values: list[float]) -> dict[str, float | int | None]:
    """Mean, standard deviation (None for one value) and n of values; all None for no value."""
    if not values:
        return {"mean": None, "std": None, "n": 0}
    std = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "std": std, "n": len(values)}


def case_figures(name: str, runs: list[Run], threshold: float) -> dict[str, Any]:
    """The figures of the runs of one case, over its seeds.

    Returns:
        `name`, `seeds`, and as mean, std and n: `train` and `test` accuracy at the end, `gap`
        between them, `epochs` to the threshold (of the runs that reached it); `reached`, how many
        did; `budget`, the epochs of the longest; `rising`, whether the training accuracy of one
        that did not still rose by a point over the last tenth of its epochs.
    """
    ends = [run.summary for run in runs]
    epochs = [run.reached(threshold) for run in runs]
    late = [run for run, epoch in zip(runs, epochs, strict=True) if epoch is None]
    return {
        "name": name,
        "seeds": [run.seed for run in runs],
        "train": spread([s["train_accuracy"] for s in ends]),
        "test": spread([s["test_accuracy"] for s in ends]),
        "gap": spread([s["train_accuracy"] - s["test_accuracy"] for s in ends]),
        "epochs": spread([e for e in epochs if e is not None]),
        "reached": sum(e is not None for e in epochs),
        "budget": max(s["epochs"] for s in ends),
        "rising": any(_rising(run.history) for run in late),
        "run_ids": [s["run_id"] for s in ends],
    }


def _rising(history) -> bool:
    accuracies = [x["train_accuracy"] for x in history if x.get("train_accuracy") is not None]
    return (
        len(accuracies) > 1
        and accuracies[-1] - accuracies[-1 - max(1, len(accuracies) // 10)] > 0.01
    )


def ratio(case: dict[str, Any], true: dict[str, Any]) -> float | None:
    """Epochs of a case divided by those of the true labels; None where one was not fitted."""
    if not (_fits(case) and _fits(true)):
        return None
    return case["epochs"]["mean"] / true["epochs"]["mean"]


def _fits(case) -> bool:
    return case["reached"] == len(case["seeds"])


def percent(value: float | None, digits: int = 0) -> str:
    """A fraction in percent; less than all is never rounded to 100%."""
    if value is None:
        return "-"
    while value < 1 and digits < 4 and float(f"{100 * value:.{digits}f}") == 100:
        digits += 1
    return f"{100 * value:.{digits}f}%"


def verdict(true: dict, random: dict, *, num_classes: int, threshold: float) -> str:
    """The result for the model on these data, in one or two sentences.

    Args:
        true, random: `case_figures` of the runs on true and on random labels.
        num_classes: K of the data set.
        threshold: training accuracy that counts as fitted.
    """
    chance, goal = 1 / num_classes, f"{100 * threshold:g}%"
    end, test = percent(true["train"]["mean"]), percent(true["test"]["mean"])
    noise = percent(random["train"]["mean"])
    if not _fits(true):
        sentence = (
            f"does not fit the true labels: {end} of them after {counted(true['budget'], 'epoch')} "
            f"({true['reached']} of {len(true['seeds'])} runs reached {goal})"
        )
        if _fits(random):
            return (
                f"{sentence}, but memorises {noise} of random labels, which is odd: check the data"
            )
        return (
            f"{sentence}: training was too short, or the model is too small, for a conclusion; "
            "raise --epochs, or change --learning_rate"
        )
    if not _fits(random):
        budget = counted(random["budget"], "epoch")
        still = "; its accuracy was still rising: try more --epochs" if random["rising"] else ""
        sentence = (
            f"the random labels within {budget} ({random['reached']} of "
            f"{len(random['seeds'])} runs reached {goal})"
        )
        if random["train"]["mean"] >= NEARLY:
            return (
                f"fits the true labels ({end}) and {noise} of {sentence}: capacity hardly explains "
                f"its test accuracy of {test}{still}"
            )
        return (
            f"fits the true labels ({end}) but only {noise} of {sentence}: this holds for "
            f"{budget} of these training settings; if longer training does not memorise the set "
            f"either, limited capacity may explain its test accuracy of {test}{still}"
        )
    longer = ratio(random, true)
    sentence = f"memorises {noise} of random labels in {longer:.1f} times the epochs"
    # With few classes twice chance is close to 1 or above.
    if true["test"]["mean"] < chance + min(chance, ABOVE * (1 - chance)):
        return (
            f"{sentence}; its test accuracy of {test} is little above chance ({percent(chance)}), "
            "so there is hardly any generalisation to explain"
        )
    return f"{sentence}: its capacity alone does not explain its test accuracy of {test}"


def reasons(cases: list[dict], *, num_classes: int, threshold: float) -> list[str]:
    """What the verdict rests on, a sentence for each case."""
    lines, goal = [], f"{100 * threshold:g}%"
    true = cases[0]
    for case in cases:
        fitted, n = case["reached"], len(case["seeds"])
        if _fits(case):
            epochs = number(case["epochs"])
            sentence = f"reached {goal} after {epochs} epoch{'s'[: epochs != '1']}"
            times = ratio(case, true)
            if case is not true and times is not None:
                sentence += f", {times:.1f} times as many as for the true labels"
        else:
            sentence = (
                f"reached {goal} in {fitted} of {n} runs within {counted(case['budget'], 'epoch')} "
                f"and ended at {number(case['train'], 100, '%')}"
            )
        lines.append(
            f"{case['name']}: {sentence}; test accuracy {number(case['test'], 100, '%')}, "
            f"chance {percent(1 / num_classes, 1)}"
        )
    return lines


def limits(
    cases: list[dict], *, num_classes: int, num_test: int, recipe: str, eval_every: int = 1
) -> list[str]:
    """What the test does not show, as far as it applies to these runs."""
    lines = [
        f"The result holds for these training settings ({recipe}) and this number of examples. "
        "With other settings or more data a network may fit less or more.",
        "A network that can memorise need not do so on the true labels. The test shows only that "
        "its capacity does not prevent it.",
    ]
    seeds = len(cases[0]["seeds"])
    if seeds == 1:
        lines.append("One seed: the spread over seeds is not known; type --seeds=3.")
    if eval_every > 1:
        lines.append(
            f"Evaluated every {eval_every} epochs: numbers of epochs are known only to that step."
        )
    if num_classes < FEW_CLASSES:
        lines.append(
            f"With {num_classes} classes the audit cannot test whether a test accuracy is at "
            "chance or true labels leaked: it needs 7 classes."
        )
    if num_test < FEW_TEST:
        lines.append(
            f"{num_test} test images: two standard deviations of an accuracy of 50% are "
            f"{100 / num_test**0.5:.0f} points."
        )
    if cases[0]["budget"] and any(c["reached"] < len(c["seeds"]) for c in cases):
        lines.append(
            "Not reached means: not within the given epochs. The learning rate falls with the "
            "epochs, so a longer run also needs --lr_decay nearer to 1."
        )
    return lines


def number(measured: dict, scale: float = 1, unit: str = "") -> str:
    """Mean +- deviation for the reader."""
    if measured["mean"] is None:
        return "not reached" if not unit else "-"
    mean = f"{scale * measured['mean']:.{1 if unit or measured['n'] > 1 else 0}f}"
    if unit == "%":
        mean = percent(measured["mean"], 1).removesuffix(unit)
    if measured["std"] is None:
        return f"{mean}{unit}"
    return f"{mean} ± {scale * measured['std']:.1f}{unit}"
