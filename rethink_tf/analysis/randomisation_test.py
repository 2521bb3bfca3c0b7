"""The test of Zhang et al. for any model and data: does it fit true labels, does it fit noise?

    rethink-tf randomisation-test --model=package.module:function \
        --dataset=folder:PATH

Trains on true labels, on random labels, and where asked on corrupted pixels, over several seeds,
as ordinary runs: finished ones are read back, and an interrupted test resumes. Writes report.md,
report.png, report.html and report.json, and ends with a verdict.
"""

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rethink_tf import console
from rethink_tf.analysis import randomisation_figures
from rethink_tf.analysis import randomisation_page as page
from rethink_tf.analysis.randomisation_figures import Run
from rethink_tf.config import run_config
from rethink_tf.config.flags import Options
from rethink_tf.config.run_config import RunConfig
from rethink_tf.data import registry as datasets
from rethink_tf.errors import AuditError, DivergedError, RequestError
from rethink_tf.models import layers_of
from rethink_tf.models.custom.keras_file import first_line
from rethink_tf.runs import results
from rethink_tf.storage import content_hash, files, paths
from rethink_tf.training import run as train

TRUE, RANDOM = "true labels", "random labels"
PIXELS = {
    "shuffled": "shuffled pixels",
    "random": "random pixels",
    "gaussian": "Gaussian pixels",
}
_OPTIMIZER = {"sgd": "SGD, momentum {0.momentum:g}", "adam": "Adam", "adamw": "AdamW"}
_SCHEDULE = {
    "exponential": "x{0.lr_decay:g} an epoch",
    "step": "x{0.lr_decay:g} a step",
    "cosine": "cosine after {0.warmup_epochs} epochs of warm-up",
}
SET_BY_THE_TEST = ("corrupt", "label_noise", "labels_from", "pixel_mix", "shuffle_fraction")


def cases(wanted: RunConfig, pixels: tuple[str, ...], seeds: int) -> list[tuple[str, RunConfig]]:
    """The runs of a test, by case, true labels first; not resolved.

    Raises:
        RequestError: a field that the test sets itself is given; unknown pixels; no seeds.
    """
    if wanted.init_from is not None:
        raise RequestError("--init_from: the test trains from the start; leave it out")
    for name in SET_BY_THE_TEST:
        if getattr(wanted, name) != run_config.FIELDS[name].default:
            raise RequestError(f"--{name}: the test sets it itself; leave it out")
    unknown = [kind for kind in pixels if kind not in PIXELS]
    if unknown:
        raise RequestError(
            f"--pixels: expected some of {','.join(PIXELS)}, received {','.join(unknown)}"
        )
    if not 1 <= seeds <= 100:
        raise RequestError(f"--seeds: expected a whole number from 1 to 100, received {seeds}")
    kinds: dict[str, dict[str, Any]] = {TRUE: {}, RANDOM: {"corrupt": 1.0}}
    kinds |= {PIXELS[kind]: {"pixels": kind} for kind in dict.fromkeys(pixels)}
    return [
        (case, dataclasses.replace(wanted, **changes, seed=wanted.seed + seed))
        for case, changes in kinds.items()
        for seed in range(seeds)
    ]


@paths.from_here()
def run(
    model: Any,
    dataset: Any,
    *,
    seeds: int = 1,
    pixels: tuple[str, ...] | list[str] = (),
    threshold: float = 0.99,
    out: str | Path = "randomisation_test",
    options: Options | None = None,
    say: Callable[[str], None] = console.say,
    **fields,
) -> page.TestResult:
    """Runs the test and writes its page.

    Args:
        model: a name as for --model, or a keras.Model (its layers Keras' own; its weights are not
            used).
        dataset: a name as for --dataset, or arrays (x_train, y_train, x_test, y_test). Images are
            kept as uint8: integers, or floats that are whole, from 0 to 255 as they are; floats
            from 0 to 1 times 255 and rounded, which is printed; any other range is refused.
        seeds: how many, from the field `seed` on.
        pixels: further cases: some of "shuffled", "random", "gaussian".
        threshold: training accuracy that counts as fitted, above 0 to 1.
        out: folder of the report, and of a model or arrays that are saved. Where it holds the
            report of another test, this one goes to OUT-2, OUT-3, ..., which is printed.
        options: folders of runs and data, and the devices to train on.
        say: takes the lines for the reader.
        **fields: of RunConfig, for all runs: epochs, learning_rate, seed, ...

    Returns:
        The figures, a dict that a notebook shows as the page: `model`, `dataset`, `verdict`,
        `cases` (see `randomisation_figures.case_figures`), `files` and what else the page states.

    Raises:
        RequestError: see `cases`; no run on true labels, or no run on random labels, finished as
            DONE.
        StoppedError: a signal came; the same call resumes.
    """
    options, out = options or Options(), Path(out)
    _refuse_request(options, threshold, fields)
    with files.storage(out):
        out.mkdir(parents=True, exist_ok=True)
    dataset_name, notes = _stored(dataset, out)
    for line in notes:
        say(line)
    wanted = RunConfig(model=_named(model, out), dataset=dataset_name, **fields)
    planned = [
        (case, run_config.resolve(each, options.data_dir, options.cache_dir, say))
        for case, each in cases(wanted, tuple(pixels), seeds)
    ]
    if note := run_config.smaller_batch(wanted, planned[0][1]):
        say(note)
    runs, left_out = _train(planned, options, say)
    figures = _figures(planned, runs, left_out, threshold, options)
    figures["notes"] = [*notes, *figures["notes"]]
    result = page.write(out, figures, runs, [run_config.run_id(each) for _, each in planned])
    if result.folder != out:
        say(f"{out} holds the report of another test; this report is in {result.folder}")
    say(f"\n{result['verdict']}\n" + "\n".join(result["files"]))
    return result


def _refuse_request(options: Options, threshold: float, fields: dict[str, Any]) -> None:
    """Refuses what no test can be of, before anything is read."""
    if options.strategy == "multi_worker":
        raise RequestError(
            "--strategy: expected auto, one_device or mirrored, since the test trains several runs "
            "in one process; to use several workers, train each run that --dry_run lists with "
            "rethink_tf.main first; the test then reads the finished runs"
        )
    if not (isinstance(threshold, float | int) and 0 < threshold <= 1):
        raise RequestError(f"--threshold: expected a number above 0 to 1, received {threshold}")
    unknown = [name for name in fields if name not in run_config.FIELDS]
    if unknown:
        raise RequestError(f"expected fields of RunConfig, received {', '.join(unknown)}")


def _train(
    planned: list[tuple[str, RunConfig]], options: Options, say: Callable[[str], None]
) -> tuple[list[Run], list[str]]:
    """Trains all runs of a test; returns those that ended well, and why the others did not."""
    runs: list[Run] = []
    left_out: list[str] = []
    legend = True  # the legend stands before the first table only
    for position, (case, each) in enumerate(planned):
        say(f"\n{case}, seed {each.seed} ({position + 1} of {len(planned)})")
        run_dir = Path(options.runs_dir) / run_config.run_id(each)
        trained = results.read_summary(paths.absolute(run_dir)) is None
        try:
            summary = train.run(each, run_dir, options=options, argv=[], say=say, legend=legend)
        except (AuditError, DivergedError) as error:
            left_out.append(f"{case}, seed {each.seed}: {error}")
            continue
        finally:
            legend = legend and not trained
        history = results.read_history(paths.absolute(run_dir))
        runs.append(Run(case, each.seed, summary, history))
    return runs, left_out


def _figures(planned, runs: list[Run], left_out, threshold: float, options) -> dict[str, Any]:
    by_case = {case: [r for r in runs if r.case == case] for case, _ in planned}
    for case in (TRUE, RANDOM):
        if not by_case[case]:
            raise RequestError(f"no run on {case} is DONE: {'; '.join(left_out)}")
    first = planned[0][1]
    figures = [
        randomisation_figures.case_figures(case, part, threshold)
        for case, part in by_case.items()
        if part
    ]
    info = datasets.info(
        first.dataset,
        options.data_dir,
        options.cache_dir,
        input_size=first.input_size,
        augment=first.augment,
    )
    recipe = (
        f"{_OPTIMIZER[first.optimizer].format(first)}, learning rate {first.learning_rate:g}, "
        f"{_SCHEDULE[first.lr_schedule].format(first)}, "
        f"batches of {first.batch_size}, {console.counted(first.epochs, 'epoch')}, weight decay "
        f"{first.weight_decay:g}, dropout {first.dropout:g}, augmentation {first.augment}"
    )
    about: dict[str, Any] = {"num_classes": info.num_classes, "threshold": threshold}
    conversions = runs[0].summary.get("arrivals", [])
    num_test = first.held_out or info.num_test
    return {
        "model": content_hash.shown(first.model),
        "dataset": content_hash.shown(first.dataset),
        "parameters": runs[0].summary["parameters"],
        "classes": info.num_classes,
        "train_examples": first.examples or info.num_train,
        "test_examples": num_test,
        "threshold": threshold,
        "recipe": recipe,
        "cases": [
            case | {"ratio": randomisation_figures.ratio(case, figures[0])} for case in figures
        ],
        "verdict": randomisation_figures.verdict(figures[0], figures[1], **about),
        "reasons": randomisation_figures.reasons(figures, **about),
        "limits": randomisation_figures.limits(
            figures,
            num_classes=info.num_classes,
            num_test=num_test,
            recipe=recipe,
            eval_every=first.eval_every,
        ),
        "left_out": left_out,
        "notes": conversions,
    }


def _named(model, out: Path) -> str:
    """The name of a model; a keras.Model is saved below `out`, by its architecture."""
    if isinstance(model, str):
        return model
    if not hasattr(model, "to_json"):
        raise RequestError(
            "model: expected a name (package.module:function, FILE.keras) or a keras.Model, "
            f"received {type(model).__name__}"
        )
    import hashlib

    try:
        digest = hashlib.sha256(model.to_json().encode())
        for layer in layers_of(model):
            if hasattr(layer, "adapt"):  # its statistics are kept; weights are drawn anew
                for values in layer.get_weights():
                    digest.update(values.tobytes())
        path = out / f"{content_hash.folder_name(model.name)}-{digest.hexdigest()[:12]}.keras"
        # Keras writes the date into the file, but the same model must stay the same file.
        if not path.is_file():
            model.save(path)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise RequestError(
            f"model: {model.name} cannot be saved ({first_line(error)}); give a function instead, "
            "package.module:function"
        ) from None
    return str(path)


def _stored(dataset: Any, out: Path) -> tuple[Any, tuple[str, ...]]:
    """The name of a data set, and what was done to it; arrays are saved below `out`."""
    if dataset is None or isinstance(dataset, str):
        return dataset, ()
    try:
        x_train, y_train, x_test, y_test = (np.asarray(a) for a in dataset)
    except (TypeError, ValueError):
        raise RequestError(
            "dataset: expected a name, or arrays (x_train, y_train, x_test, y_test), received "
            f"{type(dataset).__name__}"
        ) from None
    from rethink_tf.data.sources import custom as custom_data

    opened = custom_data.from_arrays(x_train, y_train, x_test, y_test)
    arrays, path = opened.load(), out / f"arrays-{opened.content[:12]}.npz"
    if not path.is_file():
        names = ("train_images", "train_labels", "test_images", "test_labels")
        keys = ("x_train", "y_train", "x_test", "y_test")
        with tempfile.TemporaryFile() as file:
            content: dict[str, Any] = {k: arrays[n] for k, n in zip(keys, names, strict=True)}
            np.savez(file, **content)
            file.seek(0)
            files.write_atomically(path, file.read())
    return f"npz:{path}", opened.notes
