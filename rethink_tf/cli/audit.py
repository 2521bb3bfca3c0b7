"""Says what the labels of a file are: rethink-tf audit labels.csv --p=0.5"""

from rethink_tf import console
from rethink_tf.audit import verdict
from rethink_tf.config.arguments import Parser
from rethink_tf.corruptions.labels import LABEL_NOISE
from rethink_tf.data.label_file import read_again, read_labels
from rethink_tf.errors import ExitCode, RequestError


def _parser() -> Parser:
    parser = Parser(
        "rethink-tf audit",
        "Says in words what the labels in FILE are: untouched, uniform at some p, the "
        "true class excluded, renamed, permuted, misaligned, redrawn between passes, ... "
        "Exit code: 0 described (and as asked for, with --p); 3 not what --p asks for; 2 a wrong "
        "request.",
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        help=".csv or .npz with true and given (index optional), such as a noise file; .npy of "
        "shape [N, 2] (true, given); with --true, the given labels alone",
    )
    parser.add_argument("--true", metavar="FILE", help="the true labels, .npy (one-hot too)")
    parser.add_argument("--again", metavar="FILE", help="the given labels in a second pass")
    parser.add_argument("--p", type=float, help="probability of replacement that was asked for")
    parser.add_argument("--noise", choices=LABEL_NOISE, help="asked for at --p [uniform]")
    parser.add_argument("--num_classes", type=int, metavar="K", help="[largest label + 1]")
    return parser


def main(argv: list[str]) -> int:
    """Runs one command line (without the program's name) and returns its exit code."""
    asked = _parser().parsed(argv)
    if asked is None:
        return ExitCode.DONE
    if asked.noise and asked.p is None:
        raise RequestError("--noise: expected --p with it")
    read = read_labels(asked.file, asked.true)
    again = None
    if asked.again:
        again = read_again(asked.again, read["index"], paired=asked.true is None)
    found = verdict.labels(
        read["true"],
        read["given"],
        p=asked.p,
        noise=asked.noise or "uniform",
        num_classes=asked.num_classes,
        index=read["index"],
        again=again,
    )
    console.say(str(found))
    return ExitCode.INVALID if found.ok is False else ExitCode.DONE
