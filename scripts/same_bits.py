#!/usr/bin/env python
"""Trains a fixed list of short runs and prints what identifies their results, bit for bit.

    python scripts/same_bits.py --out=before.json      # on one commit
    python scripts/same_bits.py --out=after.json       # on another, on the same machine
    diff before.json after.json

Of every run: run id, hash of the weights, hash of the history without its timing. All on `digits`,
two epochs: every network of Table 1 in float32 and bfloat16, augmentation, two replicas, a
transfer, random signs, one run of each study of the theory.
"""

import dataclasses
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from rethink_tf import console  # noqa: E402
from rethink_tf.cli.app import guarded  # noqa: E402
from rethink_tf.config import fields  # noqa: E402
from rethink_tf.config.command_line import CommandLine  # noqa: E402
from rethink_tf.errors import RequestError  # noqa: E402

SHORT = ["--dataset=digits", "--epochs=2", "--corrupt=0.5", "--threads=2"]
MODELS = ("inception", "inception_no_bn", "alexnet", "mlp_3x512", "mlp_1x512")
TIMING = ("timing", "seconds", "finished", "factor", "gflops", "peak_bytes", "threads", "versions")
_GROUP = "This command"


@dataclasses.dataclass(frozen=True)
class Flags:
    """Whose code runs, and where the hashes go."""

    out: str | None = fields.field(None, str, "JSON file to write (required)", group=_GROUP)
    checkout: str = fields.field(
        str(ROOT),
        str,
        "folder of the code that runs",
        group=_GROUP,
        by="this one",
    )
    study: str | None = fields.field(
        None,
        str,
        "of an older checkout: the module, and the command, that does a study named by "
        "--experiment",
        group=_GROUP,
        by="none: each study is a command",
    )
    keys: str | None = fields.field(
        None,
        str,
        "keys of a history line that count",
        group=_GROUP,
        by="all",
    )


LINE = CommandLine(
    "python scripts/same_bits.py",
    "Trains a fixed list of short runs and prints what identifies their results, bit for bit.",
    (Flags,),
)


def trainings() -> list[list[str]]:
    """Command lines of one process, which trains one after the other."""
    found = [
        [f"--model={model}", f"--precision={precision}", *SHORT]
        for model in MODELS
        for precision in ("float32", "mixed_bfloat16")
    ]
    small = ["--model=mlp_1x512", *SHORT]
    found += [[*small, "--augment=crop", "--input_size=12"], [*small, "--augment=flip_rotate"]]
    found += [[*small, f"--pixels={kind}"] for kind in ("shuffled", "random", "gaussian")]
    return found


def studies(module: str | None) -> list[list[str]]:
    """What follows `python -m` for each study; see `Flags.study` for the module."""
    digits = "--dataset=digits"
    flags = {
        "rademacher": ["--model=mlp_1x512", digits, "--epochs=2", "--examples=200"],
        "expressivity": [digits, "--counts=50", "--depths=2,3", "--largest=100000"],
        "implicit": [digits, "--steps=500"],
    }
    if module is None:
        return [["rethink_tf", name, *more] for name, more in flags.items()]
    return [[*module.split(), f"--experiment={name}", *more] for name, more in flags.items()]


def _without_timing(value):
    if isinstance(value, dict):
        return {k: _without_timing(v) for k, v in value.items() if k not in TIMING}
    return [_without_timing(v) for v in value] if isinstance(value, list) else value


def _digest(value) -> str:
    text = json.dumps(_without_timing(value), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def found_in(runs_dir: Path, keys: list[str] | None) -> dict[str, dict[str, str]]:
    """Run id: hash of its weights and of its history, or of the whole summary of a study."""
    found = {}
    for path in sorted(runs_dir.glob("*/summary.json")):
        summary = json.loads(path.read_text())
        history = path.with_name("history.jsonl")
        if history.exists():
            lines = [json.loads(line) for line in history.read_text().splitlines()]
            if keys:
                lines = [{k: v for k, v in line.items() if k in keys} for line in lines]
            found[path.parent.name] = {
                "weights": summary["weights_hash"],
                "history": _digest(lines),
            }
        else:
            for name in ("argv", "git_commit", "sha256", "seconds"):
                summary.pop(name, None)
            found[path.parent.name] = {"summary": _digest(summary)}
    return found


def main(argv: list[str]) -> int:
    """Trains the list below a temporary folder; returns the exit code."""
    parsed = LINE.parse(argv)
    if parsed is None:
        console.say(LINE.help())
        return 0
    asked = parsed[Flags]
    if not asked.out:
        raise RequestError("--out: expected a JSON file to write, received none")
    where = Path(asked.checkout).resolve()
    with tempfile.TemporaryDirectory() as folder:
        runs = [f"--runs_dir={folder}/runs"]

        def python(*words):
            subprocess.run([sys.executable, *words, *runs], cwd=where, check=True)

        lines = [[*line, *runs] for line in trainings()]
        code = "import json, sys\nfrom rethink_tf.main import main\n"
        code += "for argv in json.loads(sys.argv[1]): main(argv)"
        subprocess.run([sys.executable, "-c", code, json.dumps(lines)], cwd=where, check=True)
        train = ("-m", "rethink_tf.main")
        python(
            *train, "--model=mlp_1x512", *SHORT, "--strategy=mirrored", "--devices=2", "--seed=1"
        )
        parent = ["--model=mlp_1x512", *SHORT, "--seed=2", "--keep_epochs=1,2"]
        python(*train, *parent)
        (one,) = [p.parent.parent.name for p in Path(folder).glob("runs/*/snapshots/*2.npz")]
        python(
            *train,
            f"--init_from={folder}/runs/{one}",
            "--freeze=all_but_last",
            *SHORT[:2],
            "--threads=2",
        )
        for line in studies(asked.study):
            python("-m", *line)
        keys = asked.keys.split(",") if asked.keys else None
        text = json.dumps(found_in(Path(folder, "runs"), keys), indent=1, sort_keys=True)
    Path(asked.out).write_text(text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
