"""What is timed: candidates, each a process of its own that waits while others compute.

A candidate is made by a function of plain values that returns (run, facts): run(count) does `count`
units of work and returns the seconds, facts are plain values. TensorFlow and PyTorch are thus never
in one process, and a candidate that crashes takes no other with it.
"""

import importlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import weakref
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 3
_SERVE = "import sys; from benchmark import candidates; candidates.serve(*sys.argv[1:])"


class LeftOut(Exception):
    """Something cannot be measured; says why, in a line."""


def environment() -> dict[str, str]:
    """The environment of a process that imports rethink_tf and these scripts."""
    path = (str(ROOT), str(ROOT / "scripts"), os.environ.get("PYTHONPATH"))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}


class Candidate:
    """A process that was started for one candidate; call it with a count for the seconds.

    `make` is `module:function`, its arguments plain values, `facts` what it says of its candidate.
    LeftOut where it cannot be made; later, by a call, where it cannot run.
    """

    def __init__(self, make: str, **arguments):
        self._errors = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _SERVE, make, json.dumps(arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment(),
        )
        # Also where a caller forgets it: the process ends with this object.
        self.close = weakref.finalize(self, _end, self._process)
        try:
            self.facts = self._answer()["facts"]
        except BaseException:
            self.close()
            raise

    def __call__(self, count: int) -> float:
        """Runs `count` steps; returns the seconds that they took."""
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


def _end(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        try:
            stream.close()
        except OSError:
            pass  # a line that nobody read


def serve(make: str, arguments: str) -> None:
    """The candidate's side: a line of JSON with its facts, then one for each count on stdin."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer

    def answer(**values):
        print(json.dumps(values), file=answers, flush=True)

    module, _, name = make.partition(":")
    try:
        run, facts = getattr(importlib.import_module(module), name)(**json.loads(arguments))
        answer(facts=facts)
        for line in sys.stdin:
            answer(seconds=run(int(line)))
    except LeftOut as why:
        answer(left_out=str(why))


class Race:
    """Candidates that take turns, so that a noisy neighbour hits all alike.

    `running` has them by name, `left_out` why others cannot run; `start` makes one, by default as
    a process of its own.
    """

    def __init__(self, start=None):
        self.running, self.left_out = {}, {}
        self._start = start or Candidate

    def enter(self, name: str, make: str, /, **arguments) -> None:
        """Starts a candidate under a name; see `Candidate`."""
        try:
            self.running[name] = self._start(make, **arguments)
        except LeftOut as why:
            self.left_out[name] = str(why)

    def best(self, seconds: float, rounds: int = ROUNDS, names=None) -> dict[str, float]:
        """Best seconds per unit of all candidates, or those named, over rounds of such length."""
        counts, best = {}, {}

        def timed(name, count):
            try:
                return self.running[name](count) if name in self.running else None
            except LeftOut as why:
                self.left_out[name] = str(why)
                self.running.pop(name).close()

        for name in list(names or self.running):
            timed(name, 2)  # compiles
            if (took := timed(name, 2)) is not None:
                counts[name] = max(1, round(seconds / (took / 2)))
        for name in list(counts) * rounds:
            if (took := timed(name, counts[name])) is not None:
                best[name] = min(took / counts[name], best.get(name, math.inf))
        return {name: value for name, value in best.items() if name in self.running}

    def again(self, name: str, seconds: float) -> float:
        """Seconds per unit of one candidate, once more; LeftOut where it no longer runs."""
        if name in self.running and (found := self.best(seconds, 1, [name])):
            return found[name]
        raise LeftOut(self.left_out[name])

    def close(self, but: str = "") -> None:
        """Ends all candidates but one."""
        for name in set(self.running) - {but}:
            self.running.pop(name).close()
