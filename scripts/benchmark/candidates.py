"""What is timed: candidates, each a process of its own that waits while others compute.

A candidate is made by a function that returns (run, facts): run(count) does `count` units of work
and returns the seconds, facts are plain values. TensorFlow and PyTorch are thus never in one
process, and a candidate that crashes takes no other with it.
"""

import importlib
import math
import multiprocessing
import os
import signal

ROUNDS = 3


class LeftOut(Exception):
    """Something cannot be measured; says why, in a line."""


class Candidate:
    """A process that was started for one candidate; call it with a count for the seconds.

    `make` is `module:function`, `facts` what that says of its candidate. LeftOut where it cannot be
    made; later, by a call, where it cannot run.
    """

    def __init__(self, make: str, **arguments):
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, arguments), daemon=True)
        self._process.start()
        theirs.close()  # so that its end is seen
        try:
            self.facts = self._answer()
        except LeftOut:
            self.close()
            raise

    def __call__(self, count: int) -> float:
        """Runs `count` units; returns the seconds that they took."""
        try:
            self._pipe.send(count)
        except OSError:
            pass  # it has ended; its answer says how
        return self._answer()

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.join()

    def _answer(self):
        try:
            answer = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended: {code}"
            raise LeftOut(f"its process {how}") from None
        if isinstance(answer, LeftOut):
            raise answer
        return answer


def _serve(pipe, make: str, arguments: dict) -> None:
    """The candidate's side: sends its facts, then the seconds of each count that it receives."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # what libraries print is no answer
        os.dup2(quiet, stream)
    module, _, name = make.partition(":")
    try:
        run, facts = getattr(importlib.import_module(module), name)(**arguments)
        pipe.send(facts)
        while True:
            pipe.send(run(pipe.recv()))
    except EOFError:
        pass  # nobody asks any more
    except LeftOut as why:
        pipe.send(why)
    except BaseException as error:  # whatever a framework raises
        first = (str(error).splitlines() or [""])[0]
        pipe.send(LeftOut(f"{type(error).__name__}: {first}"[:200]))


class Race:
    """Candidates that take turns, so that a noisy neighbour hits all alike.

    `running` has them by name, `left_out` why others cannot run; `start` makes one, by default as
    a process of its own.
    """

    def __init__(self, start=Candidate):
        self.running, self.left_out = {}, {}
        self._start = start

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

    def close(self) -> None:
        """Ends all candidates."""
        while self.running:
            self.running.popitem()[1].close()
