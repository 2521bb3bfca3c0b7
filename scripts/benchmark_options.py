"""The command line of benchmark.py."""

import argparse
import sys
from pathlib import Path

from benchmark_twins import TABLE1, TWINS

from rethink_tf.config.run_config import PRECISIONS
from rethink_tf.data import registry as datasets

PARTS = ("step", "loop", "replicas", "streamed", "checkpoint")


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        print(f"benchmark: {message}", file=sys.stderr)
        sys.exit(2)


def _some_of(known):
    def parse(text):
        for name in text.split(","):
            if name not in known:
                raise argparse.ArgumentTypeError(f"expected {','.join(known)}; received {name!r}")
        return text.split(",")

    return parse


def _one_of(*known):
    def parse(text):
        if text in known:
            return text
        raise argparse.ArgumentTypeError(f"expected {' or '.join(known)}; received {text!r}")

    return parse


def _number(kind, low, high=10**9):
    def parse(text):
        try:
            if low <= (value := kind(text)) <= high:
                return value
        except ValueError:
            pass
        wanted = f"a number from {low} to {high}"
        raise argparse.ArgumentTypeError(f"expected {wanted}, received {text!r}")

    return parse


def parse(argv: list[str], description: str = "") -> argparse.Namespace:
    """The command line; exits with code 2 and one line where it is wrong."""
    parser = _Parser("benchmark.py", description=description, allow_abbrev=False,
                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip

    def flag(name, kind, default, help):
        shown = f" [{default}]" if default is not None else ""
        parser.add_argument(f"--{name}", type=kind, default=default, metavar="X", help=help + shown)

    flag("parts", _some_of(PARTS), None, f"some of {','.join(PARTS)}; default: all")
    flag("models", _some_of(TWINS), None, f"some of {','.join(TWINS)}; default: Table 1's")
    flag(
        "precisions",
        _some_of(PRECISIONS),
        None,
        f"some of {','.join(PRECISIONS)}; default: float32, and both for the Inceptions",
    )
    flag("xla", _one_of("auto", "both"), "auto", "auto: as training does; both: the other way too")
    flag("augment", _one_of("none", "crop"), "none", "crop: random crops from 32x32")
    flag("batch_size", _number(int, 2), 128, "examples per step")
    flag("input_size", _number(int, 8, 32), 28, "height and width in pixels, a multiple of 4")
    flag("examples", _number(int, 2), 50_000, "resident images of the pure step")
    flag("seconds", _number(float, 0), 2.0, "of each candidate in each of the three rounds")
    flag("epoch_seconds", _number(float, 1e-6), 10.0, "of an epoch of a run, at most 50,000 images")
    flag("data_dir", Path, None, "folder with a TFDS cifar10 for the runs; default: noise")
    flag("threads", _number(int, 0, 4096), 0, "of arithmetic; 0: as many as there are cores")
    flag("json", Path, None, "a file for all figures")
    parser.add_argument("--no_torch", action="store_true", help="leave PyTorch out")
    parser.add_argument("--no_torch_compile", action="store_true", help="leave torch.compile out")
    options = parser.parse_args(argv)
    options.parts, options.models = options.parts or list(PARTS), options.models or list(TABLE1)
    if options.examples < options.batch_size:
        parser.error(f"--examples: expected at least --batch_size, received {options.examples}")
    if options.input_size % 4:
        parser.error(f"--input_size: expected a multiple of 4, received {options.input_size}")
    if options.augment == "crop" and options.input_size > 28:
        parser.error(f"--input_size: expected at most 28 to crop, received {options.input_size}")
    if options.data_dir and not datasets.is_on_disk("cifar10", options.data_dir):
        parser.error(f"--data_dir: expected a TFDS cifar10 in {options.data_dir}")
    if options.json and not options.json.absolute().parent.is_dir():
        parser.error(f"--json: expected an existing folder, received {options.json}")
    return options
