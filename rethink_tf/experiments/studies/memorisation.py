"""Memorisation scores as a run: many networks on random parts, each kept as soon as it is done."""

import dataclasses
import io
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rethink_tf import console
from rethink_tf.analysis import memorisation
from rethink_tf.analysis.memorisation import SCORES
from rethink_tf.config import fields, run_config
from rethink_tf.config.command_line import CommandLine, Parsed
from rethink_tf.config.flags import TRANSFER, Options, run_without, wanted
from rethink_tf.config.run_config import RunConfig
from rethink_tf.corruptions import checksum
from rethink_tf.data import registry as datasets
from rethink_tf.errors import ExitCode, RequestError
from rethink_tf.experiments.studies import kept_networks
from rethink_tf.experiments.studies.study import WHERE
from rethink_tf.models.custom import name as custom_models
from rethink_tf.plotting import memorisation as pictures
from rethink_tf.plotting import style
from rethink_tf.runs import results
from rethink_tf.runs import task as tasks
from rethink_tf.runs.request import prepare
from rethink_tf.storage import content_hash, files, paths
from rethink_tf.storage import lock as run_lock
from rethink_tf.training.devices import setup as devices

KIND = "memorisation"
PAIRS = "influence.npz"
SHOWN = 40  # images in the figure of the highest scores
_GROUP = "This command"


@dataclasses.dataclass(frozen=True)
class Flags:
    """How many networks there are, on which share, and what is listed."""

    models: int = fields.field(
        400,
        int,
        "number of networks to train",
        group=_GROUP,
        low=4,
        high=100_000,
    )
    share: float = fields.field(
        0.7,
        float,
        "share of the training examples that each network is trained on",
        group=_GROUP,
        low=0.0,
        high=1.0,
        open_ends="low high",
    )
    shard: str | None = fields.field(
        None,
        str,
        "i/n, such as 1/4: train only every n-th network, from the i-th on; the same command "
        "without --shard combines all shards",
        group=_GROUP,
        by="all",
    )
    least_score: float = fields.field(
        memorisation.LEAST_SCORE,
        float,
        "smallest score of a memorised example",
        group=_GROUP,
        low=0.0,
        high=1.0,
    )
    least_influence: float = fields.field(
        memorisation.LEAST_INFLUENCE,
        float,
        "smallest influence of a memorised example on a test example in the list of pairs",
        group=_GROUP,
        low=0.0,
        high=1.0,
    )


_OF_PIXELS = ("pixels", "pixel_mix", "shuffle_fraction", "test_pixels")  # refused
LINE = CommandLine(
    "rethink-tf memorisation",
    "Computes memorisation scores (Feldman and Zhang, 2020). Trains many networks, each on a "
    "random share of the training set. The score of an example is the share of correct predictions "
    "by networks that were trained on it, minus that by the other networks. Each network is kept "
    "as soon as it is done, and the same command resumes. Takes the flags of a run; they apply to "
    "all networks. Writes RUNS_DIR/<run id>/"
    f"{results.SUMMARY}, {SCORES}, {PAIRS} and figures.",
    (Flags, run_without((*TRANSFER, *_OF_PIXELS)), WHERE),
)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a command line asks for.

    Attributes:
        run: the resolved configuration of all networks.
        flags, options: as typed.
        part: first network, and the step from one to the next, of this shard; (0, 1) for all.
        examples: of the part that each network is trained on.
        values: plain settings, which name the run.
    """

    run: RunConfig
    flags: Flags
    options: Options
    part: tuple[int, int]
    examples: int
    values: dict[str, Any]


def plan(parsed: Parsed) -> Plan:
    """What a command line asks for.

    Raises:
        RequestError: what has no meaning for many networks, or a share of no example.
    """
    asked, flags, options = wanted(parsed), parsed[Flags], parsed[Options]
    if asked.init_from is not None:
        raise RequestError("--init_from: expected none, since each network has its own weights")
    if asked.pixels != "original":
        raise RequestError(
            f"--pixels: expected original, received {asked.pixels}: each network would see other "
            "pixels"
        )
    part = _part(flags.shard)
    run = prepare(asked, options)
    datasets.require_in_memory(run.dataset)
    known = datasets.info(
        run.dataset,
        options.data_dir,
        options.cache_dir,
        input_size=run.input_size,
        augment=run.augment,
    )
    every = run.examples or known.num_train
    examples = round(flags.share * every)
    if not 0 < examples < every:
        raise RequestError(
            f"--share: expected a part of the {every} examples, received {flags.share}, which is "
            f"{examples}"
        )
    values = {
        "experiment": KIND,
        "models": flags.models,
        "share": flags.share,
        "network": {"model": run.model, **run_config.identity(run)},
    }
    if custom_models.is_custom(run.model):
        values["network"]["model"] = custom_models.identity(run.model)
    usual = Flags()
    values |= {
        name: getattr(flags, name)
        for name in ("least_score", "least_influence")
        if getattr(flags, name) != getattr(usual, name)
    }
    return Plan(run, flags, options, part, examples, values)


def _part(shard: str | None) -> tuple[int, int]:
    """First network and step of a shard such as 1/4; (0, 1) for None."""
    if shard is None:
        return 0, 1
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", shard)
    first, count = (int(number) for number in match.groups()) if match else (0, 0)
    if not 1 <= first <= count:
        raise RequestError(f"--shard: expected i/n, i from 1 to n, received {shard}")
    return first - 1, count


def identify(argv: Sequence[str]) -> tuple[dict[str, Any], str]:
    """What a command line asks for: (its plain configuration, run id)."""
    return tasks.identify(KIND, LINE, lambda parsed: plan(parsed).values, argv)


def carry_out(parsed: Parsed, argv: Sequence[str]) -> int:
    """Does what a command line asks for as a run, or a shard of it.

    Args:
        parsed: of `LINE`.
        argv: the command line, recorded.

    Returns:
        The exit code.
    """
    asked = plan(parsed)
    datasets.require(asked.run.dataset, asked.options.data_dir)
    shown = Path(asked.options.runs_dir) / tasks.run_id(KIND, asked.values)
    folder = paths.absolute(shown)

    def kept() -> str:
        count = len(kept_networks.paths_of(KIND, folder, asked.values))
        return (
            f"{console.counted(count, 'network')} of {asked.flags.models} kept in {shown}; the "
            "same command resumes"
        )

    with tasks.telling_what_is_kept(kept):
        if asked.flags.shard is not None:
            return _carry_out_shard(asked, folder, shown, argv)
        return tasks.carry_out(
            asked.options.runs_dir,
            KIND,
            asked.values,
            lambda folder: _compute(asked, folder),
            argv=argv,
            threads=asked.options.threads,
        )


def _carry_out_shard(asked: Plan, folder: Path, shown: Path, argv: Sequence[str]) -> int:
    """Trains the networks of one shard; `folder` is the run's, printed as `shown`."""
    first, count = asked.part
    own = folder / kept_networks.SHARDS / f"{first + 1}-of-{count}"
    with run_lock.locked(own):
        # Written first, so that other processes can identify the folder before they combine the
        # shards. An existing one is not overwritten, since a summary holds its digest.
        if results.read_config(folder) is None:
            named = {"run_id": folder.name, "config": asked.values, "argv": list(argv)}
            results.write_config(folder, named)
        done, _, _ = _networks(asked, folder, own)
    console.say(
        f"shard {asked.flags.shard}: {console.counted(len(done), 'network')} of "
        f"{asked.flags.models} kept in {shown}; the same command without --shard combines all "
        "shards"
    )
    return ExitCode.DONE


def _networks(asked: Plan, folder: Path, own: Path):
    """Trains what is missing of the networks that are asked for.

    Args:
        asked: the plan.
        folder: of the run.
        own: folder in which new networks are kept.

    Returns:
        The networks by number, as `kept_networks.read` gives them; the data; how many were
        trained now, and the seconds of it.
    """
    threads = devices.start(asked.options.threads)
    from rethink_tf.analysis import subset_networks
    from rethink_tf.training import trainer
    from rethink_tf.training.devices.workers import Started, Workers

    started = Started(threads, devices.strategy("one_device"), Workers(None))
    data = trainer.prepare_data(asked.run, asked.options, started, console.say)
    train, test = data.learner.train, data.learner.test
    facts = {
        "labels_hash": checksum.labels_hash(train.index, train.given),
        "examples": train.num_examples,
        "test_examples": test.num_examples,
        "part": asked.examples,
    }
    first, step = asked.part
    numbers = range(first, asked.flags.models, step)
    kept = kept_networks.paths_of(KIND, folder, asked.values)
    done = {n: kept_networks.read(kept[n], facts) for n in numbers if n in kept}
    missing = [n for n in numbers if n not in done]
    console.say(
        f"{asked.run.model} on {content_hash.shown(asked.run.dataset)}: "
        f"{console.counted(len(numbers), 'network')} on {asked.examples:,} of "
        f"{train.num_examples:,} examples each, {asked.run.epochs} epochs; {len(done)} kept before"
    )
    if asked.run.augment != "none":
        console.say("each network is compiled anew, since its augmentation has its own seed")
    progress, began = console.StageProgress(), time.monotonic()
    networks = subset_networks.Networks(asked.run, data, asked.examples, asked.options, started)

    def shown(number: int, share: float) -> None:
        progress("networks", (missing.index(number) + share) / len(missing))

    for network in networks.train_each(missing, shown):
        path = own / f"{network.number:05d}.npz"
        own.mkdir(parents=True, exist_ok=True)
        files.write_atomically(path, kept_networks.packed(network, facts))
        done[network.number] = kept_networks.read(path, facts)
    return done, data, {"trained_now": len(missing), "seconds": time.monotonic() - began}


def _compute(asked: Plan, folder: Path) -> dict[str, Any]:
    """Trains what is missing, and computes the scores; returns what the summary says."""
    done, data, timing = _networks(asked, folder, folder / kept_networks.NETWORKS)
    train, test, flags = data.learner.train, data.learner.test, asked.flags
    ordered = [done[number] for number in range(flags.models)]
    trained, right, test_right = (
        np.stack([network[name] for network in ordered])
        for name in ("trained", "right", "test_right")
    )
    scores = memorisation.scores(trained, right)
    pairs = memorisation.influence_pairs(
        trained,
        test_right,
        scores.score,
        least_score=flags.least_score,
        least_influence=flags.least_influence,
    )
    noisy = train.given != train.true
    summary = memorisation.summary(scores, trained, right, noisy, flags.least_score)
    summary |= {
        "experiment": KIND,
        "models": flags.models,
        "part_examples": asked.examples,
        "train_examples": train.num_examples,
        "test_examples": test.num_examples,
        "changed_fraction": float(noisy.mean()),
        "labels_hash": checksum.labels_hash(train.index, train.given),
        "train_accuracy": float(right[trained].mean()),
        "other_accuracy": float(right[~trained].mean()),
        "test_accuracy": float(test_right.mean()),
        "influence_pairs": int(pairs["pairs"]),
        "networks": [
            {name: network[name] for name in ("number", "seed", "epochs", "weights_hash")}
            for network in ordered
        ],
        "audit": [dataclasses.asdict(check) for check in data.audited.checks],
        "seals": data.learner.sealed.record(),
        "timing": timing,
    }
    identities = {"index": train.index, "true": train.true, "given": train.given}
    columns = {f.name: getattr(scores, f.name) for f in dataclasses.fields(scores)}
    _save(folder / SCORES, identities | columns)
    pairs |= {"train_index": train.index[pairs["train"]], "test_index": test.index[pairs["test"]]}
    _save(folder / PAIRS, pairs)
    _say(summary, flags)
    _draw(folder, asked, train, scores)
    return summary


def _save(path: Path, arrays: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    files.write_atomically(path, buffer.getvalue())


def _say(summary: dict[str, Any], flags: Flags) -> None:
    """The summary in lines."""
    console.say(
        f"accuracy of the networks on the examples they were trained on "
        f"{summary['train_accuracy']:.4f}, on the others {summary['other_accuracy']:.4f}, on the "
        f"test set {summary['test_accuracy']:.4f}"
    )
    for name, title in (
        ("score", "mean score"),
        ("memorised", f"share of scores of at least {flags.least_score:g}"),
    ):
        by = [f"{part} {value:.4f}" for part, value in summary[name].items() if value is not None]
        console.say(f"{title}: {', '.join(by)}")
    error, halves = summary["standard_error"], summary["reliability"]["halves"]
    if error is not None:
        console.say(f"median standard error of a score {error:.4f}")
    if halves is not None:
        console.say(
            f"scores from the two halves of the networks: correlation {halves:.4f}, mean "
            f"difference {summary['reliability']['mean_difference']:.4f}"
        )
    if summary["without_score"]:
        console.say(f"{summary['without_score']} examples have no score: train more --models")
    console.say(
        f"{summary['influence_pairs']:,} pairs of a memorised and a test example with an influence "
        f"of at least {flags.least_influence:g}"
    )


def _draw(folder: Path, asked: Plan, train, scores) -> None:
    """The histogram of the scores, and the images of the highest."""
    noisy, name = train.given != train.true, content_hash.shown(asked.run.dataset)
    order = np.argsort(-np.nan_to_num(scores.score, nan=-2.0), kind="stable")[:SHOWN]
    captions = [
        f"index {train.index[i]}\n{train.true[i]} → {train.given[i]}"
        f"\n{scores.score[i]:.2f} ± {scores.standard_error[i]:.2f}"
        if noisy[i]
        else f"index {train.index[i]}\n{train.given[i]}"
        f"\n{scores.score[i]:.2f} ± {scores.standard_error[i]:.2f}"
        for i in order
    ]
    figures = {
        "scores": pictures.histogram(
            scores.score,
            noisy,
            f"{name}: memorisation scores, {asked.flags.models} networks",
            "memorisation score",
        ),
        "most_memorised": pictures.images(
            np.asarray(train.images[order]).clip(0, 255).astype(np.uint8),
            captions,
            f"{name}: the highest memorisation scores, ± a standard error",
        ),
    }
    for title, figure in figures.items():
        path = folder / f"{title}.png"
        files.write_atomically(path, style.png(style.pixels_of(figure)))
        console.say(str(path))
