"""Trains a model on true and on random labels: rethink-tf randomisation-test --model=m:build"""

import dataclasses

from rethink_tf import console
from rethink_tf.analysis import randomisation_test
from rethink_tf.config import fields, run_config
from rethink_tf.config.command_line import CommandLine, Parsed
from rethink_tf.config.flags import TRANSFER, Options, run_without, wanted
from rethink_tf.data import registry as datasets
from rethink_tf.errors import ExitCode, RequestError
from rethink_tf.runs.request import prepare

_GROUP = "This command"


@dataclasses.dataclass(frozen=True)
class Flags:
    """How often is trained, and what counts as fitted."""

    seeds: int = fields.field(
        1,
        int,
        "number of seeds, from --seed on",
        group=_GROUP,
        low=1,
        high=100,
    )
    threshold: float = fields.field(
        0.99,
        float,
        "training accuracy that counts as fitted",
        group=_GROUP,
        low=0.0,
        high=1.0,
        open_ends="low",
    )
    out: str = fields.field("randomisation_test", str, "folder of the report", group=_GROUP)


LINE = CommandLine(
    "rethink-tf randomisation-test",
    "Runs the paper's randomisation test on your own model and data. It trains the model on true "
    "labels and on random labels, and with --pixels=shuffled,random,gaussian also on corrupted "
    "pixels. Writes report.html with a verdict. Finished runs are reused. Takes the flags of a "
    "run.",
    (
        Flags,
        dataclasses.replace(
            run_without((*randomisation_test.SET_BY_THE_TEST, *TRANSFER)),
            defaults={"model": "required", "pixels": "none"},
        ),
        Options,
    ),
)


def main(argv: list[str]) -> int:
    """The command."""
    return LINE.run(argv, _test)


def _test(parsed: Parsed) -> int:
    if "model" not in parsed.typed:
        raise RequestError(
            "--model: expected the model to test, such as --model=mine:net (a function in "
            "mine.py) or --model=mlp_1x512; received none"
        )
    asked, options, flags = wanted(parsed), parsed[Options], parsed[Flags]
    listed = "" if asked.pixels == run_config.FIELDS["pixels"].default else asked.pixels
    pixels = tuple(kind.strip() for kind in listed.split(",") if kind.strip())
    asked = dataclasses.replace(asked, pixels="original")
    planned = randomisation_test.cases(
        asked, pixels, flags.seeds
    )  # which refuses before anything is looked for
    if asked.dataset is None:
        asked = dataclasses.replace(asked, dataset=prepare(asked, options).dataset)
        planned = randomisation_test.cases(asked, pixels, flags.seeds)
    if options.dry_run:
        for case, each in planned:
            resolved = run_config.resolve(each, options.data_dir, options.cache_dir, console.say)
            console.say(f"{case}, seed {resolved.seed}: {run_config.run_id(resolved)}")
        return ExitCode.DONE
    if not datasets.is_on_disk(asked.dataset, options.data_dir):
        datasets.require(asked.dataset, options.data_dir)
    values = {name: getattr(asked, name) for name in run_config.FIELDS}
    model, dataset = values.pop("model"), values.pop("dataset")
    del values["pixels"]
    randomisation_test.run(
        model,
        dataset,
        pixels=pixels,
        out=flags.out,
        options=options,
        seeds=flags.seeds,
        threshold=flags.threshold,
        **values,
    )
    return ExitCode.DONE
