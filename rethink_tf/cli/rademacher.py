"""How well a network fits random signs (equation 1): rethink-tf rademacher --model=mlp_1x512"""

from rethink_tf.analysis import rademacher
from rethink_tf.errors import RequestError


def main(argv: list[str]) -> int:
    """The command: a configuration's complexity, as a line and a JSON file."""
    from pathlib import Path

    from rethink_tf import console
    from rethink_tf.config import flags
    from rethink_tf.data import registry as datasets
    from rethink_tf.experiments import theory_studies
    from rethink_tf.runs.request import prepare
    from rethink_tf.storage import files
    from rethink_tf.training.devices import setup as devices

    extra = {
        "out": "the JSON file to write [rademacher.json]",
        "draws": "how many times the signs are drawn, each a training [1]",
    }
    request = flags.parse_with(argv, extra)
    if request is None:
        console.say(flags.usage("rethink-tf rademacher", extra))
        return 0
    wanted, options, extras = request
    draws = theory_studies.whole("draws", extras["draws"] or "1", 1, rademacher.MOST_DRAWS)
    out = Path(extras["out"] or "rademacher.json")
    if out.suffix != ".json":
        raise RequestError(f"--out: expected a name that ends in .json, received {out}")
    resolved = prepare(wanted, options)
    datasets.require(resolved.dataset, options.data_dir)
    files.require_writable(out)
    devices.start(options.threads)
    places = {"data_dir": options.data_dir, "cache_dir": options.cache_dir}
    found = rademacher.run(resolved, draws=draws, **places, progress=console.StageProgress())
    files.write_json(out, found)
    console.say(f"empirical Rademacher complexity at least {found['complexity']:.4f}\n{out}")
    return 0
