"""Trains a model on true and on random labels: rethink-tf randomisation-test --model=m:build"""

import dataclasses

from rethink_tf import console
from rethink_tf.analysis import randomisation_test
from rethink_tf.config import run_config
from rethink_tf.data import registry as datasets
from rethink_tf.errors import ExitCode, RequestError

_EXTRA = {
    "seeds": "how many seeds, from --seed on [1]",
    "threshold": "training accuracy that counts as fitted [0.99]",
    "out": "folder of the report [randomisation_test]",
}


def main(argv: list[str]) -> int:
    """The command."""
    from rethink_tf.config import flags
    from rethink_tf.runs.request import prepare

    request = flags.parse_with(argv, _EXTRA)
    if request is None:
        console.say(flags.usage("rethink-tf randomisation-test", _EXTRA))
        return ExitCode.DONE
    wanted, options, extras = request
    numbers = {}
    for name, kind, default in (("seeds", int, 1), ("threshold", float, 0.99)):
        try:
            numbers[name] = kind(extras[name] or default)
        except ValueError:
            raise RequestError(f"--{name}: expected a number, received {extras[name]}") from None
    asked = "" if wanted.pixels == run_config.FIELDS["pixels"].default else wanted.pixels
    pixels = tuple(kind.strip() for kind in asked.split(",") if kind.strip())
    wanted = dataclasses.replace(wanted, pixels="original")
    planned = randomisation_test.cases(
        wanted, pixels, numbers["seeds"]
    )  # which refuses before anything is looked for
    if wanted.dataset is None:
        wanted = dataclasses.replace(wanted, dataset=prepare(wanted, options).dataset)
        planned = randomisation_test.cases(wanted, pixels, numbers["seeds"])
    if options.dry_run:
        for case, each in planned:
            found = run_config.resolve(each, options.data_dir, options.cache_dir, console.say)
            console.say(f"{case}, seed {found.seed}: {run_config.run_id(found)}")
        return ExitCode.DONE
    if not datasets.is_on_disk(wanted.dataset, options.data_dir):
        datasets.require(wanted.dataset, options.data_dir)
    values = {name: getattr(wanted, name) for name in run_config.FIELDS}
    model, dataset = values.pop("model"), values.pop("dataset")
    del values["pixels"]
    randomisation_test.run(
        model, dataset, pixels=pixels, out=extras["out"] or "randomisation_test", options=options,
        **numbers, **values,
    )  # fmt: skip
    return ExitCode.DONE
