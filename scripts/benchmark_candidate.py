"""A candidate of benchmark.py in a process of its own: it computes when it is asked to, else waits.

    python scripts/benchmark_candidate.py MODULE:FUNCTION ARGUMENTS

calls the function with ARGUMENTS (JSON), which returns (run, facts), and prints the facts as a line
of JSON; then, for each line with a number, the seconds of run(number). TensorFlow and PyTorch are
thus never in one process, and a candidate that crashes takes no other with it.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import weakref
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent


class LeftOut(Exception):
    """A candidate cannot run; says why, in a line."""


class Candidate:
    """A process that was started for one candidate; call it with a count for the seconds.

    Args:
        make: `module:function` of the scripts' folder.
        arguments: of the function, plain values.

    Attributes:
        facts: what the function says of its candidate.

    Raises:
        LeftOut: it cannot be made; later, by a call, that it cannot run.
    """

    def __init__(self, make: str, **arguments):
        self._errors = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, __file__, make, json.dumps(arguments, default=str)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
        )  # fmt: skip
        # Also where a caller forgets it: the process ends with this object.
        self._ending = weakref.finalize(self, _end, self._process)
        try:
            self.facts = self._answer()["facts"]
        except BaseException:
            self.close()
            raise

    def __call__(self, count: int) -> float:
        """Seconds of `count` steps; LeftOut where it has ended."""
        """CALL"""
        try:
            self._process.stdin.write(f"{count}\n")
            self._process.stdin.flush()
        except OSError:
            pass  # it has ended; its answer says how
        return self._answer()["seconds"]

    def _answer(self) -> dict:
        line = self._process.stdout.readline()
        if not line.endswith("\n"):
            raise LeftOut(self._how_it_ended())
        answer = json.loads(line)
        if "left_out" in answer:
            raise LeftOut(answer["left_out"])
        return answer

    def _how_it_ended(self) -> str:
        code = self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()
        if code < 0:
            return f"its process was killed by {signal.Signals(-code).name}"
        return f"its process ended with code {code}: {(said or ['it said nothing'])[-1]}"[:200]

    def close(self) -> None:
        """Ends the process."""
        self._ending()


def _end(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        try:
            stream.close()
        except OSError:
            pass  # a line that nobody read


def _serve(make: str, arguments: dict) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer

    def answer(**values):
        print(json.dumps(values), file=answers, flush=True)

    sys.path[:0] = [str(SCRIPTS), str(SCRIPTS.parent)]
    module, _, name = make.partition(":")
    try:
        run, facts = getattr(importlib.import_module(module), name)(**arguments)
        answer(facts=facts)
        for line in sys.stdin:
            answer(seconds=run(int(line)))
    except LeftOut as why:
        answer(left_out=str(why))


if __name__ == "__main__":
    # The class that functions of other modules raise is that of the imported module.
    sys.path.insert(0, str(SCRIPTS))
    from benchmark_candidate import LeftOut

    _serve(sys.argv[1], json.loads(sys.argv[2]))
