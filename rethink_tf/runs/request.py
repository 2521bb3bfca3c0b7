"""From the flags of a command to a resolved configuration."""

import dataclasses
from collections.abc import Callable

from rethink_tf import console
from rethink_tf.config import flags, run_config
from rethink_tf.data import registry as datasets
from rethink_tf.runs import pretrained


def prepare(
    wanted: run_config.RunConfig,
    options: flags.Options,
    say: Callable[[str], None] = console.say,
) -> run_config.RunConfig:
    """The resolved configuration of a request; a data set left open is chosen and printed."""
    wanted = pretrained.adopt(wanted, options.runs_dir)
    for name in run_config.FIELDS:  # before the data set is looked for, which can take seconds
        run_config.check_field(name, getattr(wanted, name))
    if wanted.dataset is None:
        chosen, why = datasets.choose_default(options.data_dir)
        say(why)
        wanted = dataclasses.replace(wanted, dataset=chosen)
    return run_config.resolve(wanted, options.data_dir, options.cache_dir, say)
