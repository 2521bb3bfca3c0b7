"""Says what the labels of a file are: rethink-tf audit labels.csv --p=0.5"""

import dataclasses

from rethink_tf import console
from rethink_tf.audit import noise_checks, verdict
from rethink_tf.audit.label_pairs import transitions
from rethink_tf.config import fields
from rethink_tf.config.command_line import CommandLine, Parsed
from rethink_tf.corruptions.labels import LABEL_NOISE
from rethink_tf.data import noise_matrix
from rethink_tf.data.label_file import as_labels, read_again, read_labels
from rethink_tf.errors import ExitCode, RequestError
from rethink_tf.plotting import style, transition_matrix
from rethink_tf.storage import files, paths

_GROUP = "This command"


@dataclasses.dataclass(frozen=True)
class Flags:
    """The true labels, and what was asked for."""

    true: str | None = fields.field(
        None,
        str,
        "file of the true labels, .npy (one-hot too)",
        group=_GROUP,
    )
    again: str | None = fields.field(
        None,
        str,
        "file of the given labels in a second pass",
        group=_GROUP,
    )
    p: float | None = fields.field(
        None,
        float,
        "probability of replacement that was asked for",
        group=_GROUP,
        low=0.0,
        high=1.0,
    )
    noise: str | None = fields.field(
        None,
        str,
        "kind of noise asked for at --p, or FILE.csv: a matrix that labels were drawn from",
        group=_GROUP,
        choices=LABEL_NOISE,
        accepts=noise_matrix.is_matrix,
        by="uniform",
    )
    picture: str | None = fields.field(
        None,
        str,
        "file .png to draw the transition matrix into [none]",
        group=_GROUP,
    )
    num_classes: int | None = fields.field(
        None,
        int,
        "number of classes",
        group=_GROUP,
        low=2,
        high=2048,
        by="largest label + 1",
    )


LINE = CommandLine(
    "rethink-tf audit",
    """
    Names the label noise in FILE: none, uniform at some p, the true class excluded, classes
    renamed, labels permuted or misaligned, redrawn between passes, ...

    Exit code without --p: 0. With --p: 0 if the noise is as --p states, or if there are too few
    labels to tell; 3 if it is not. 2 if the request is wrong.
    """,
    (Flags,),
    positionals="FILE",
    least=1,
    most=1,
    positionals_help="FILE: .csv or .npz with true and given (index optional), such as a noise "
    "file; .npy of shape [N, 2] (true, given); with --true, the given labels alone",
)


def main(argv: list[str]) -> int:
    """Runs one command line (without the program's name) and returns its exit code."""
    return LINE.run(argv, _audit)


def _audit(parsed: Parsed) -> int:
    asked = parsed[Flags]
    if asked.noise and asked.p is None:
        raise RequestError("--noise: expected --p with it")
    if asked.picture is not None and not asked.picture.endswith(".png"):
        raise RequestError(f"--picture: expected a file .png, received {asked.picture}")
    if asked.picture is not None:
        files.require_writable(paths.absolute(asked.picture))
    matrix = None
    if asked.noise and noise_matrix.is_matrix(asked.noise):
        matrix = noise_matrix.read(asked.noise, "noise")
    read = read_labels(parsed.positionals[0], asked.true)
    again = None
    if asked.again:
        again = read_again(asked.again, read["index"], paired=asked.true is None)
    result = verdict.labels(
        read["true"],
        read["given"],
        p=asked.p,
        noise="uniform" if matrix is not None else asked.noise or "uniform",
        matrix=matrix,
        num_classes=asked.num_classes,
        index=read["index"],
        again=again,
    )
    console.say(str(result))
    if asked.picture:
        true, given = (as_labels(name, read[name], None) for name in ("true", "given"))
        table = transitions(true, given, result.figures["num_classes"])
        law = None if matrix is None else noise_checks.law(asked.p or 0.0, matrix)
        picture = style.pixels_of(transition_matrix.figure(table, law))
        files.write_atomically(paths.absolute(asked.picture), style.png(picture))
        console.say(f"\n{asked.picture}: the transition matrix")
    return ExitCode.INVALID if result.ok is False else ExitCode.DONE
