"""What is timed: candidates, each a process of its own that waits while others compute.

A candidate is made by a function that returns (run, facts): run(count) does `count` units of work
and waits for the device, facts are plain values. TensorFlow and PyTorch are thus never in one
process, and a candidate that crashes takes no other with it.
"""

import contextlib
import math
import multiprocessing
import os
import pkgutil
import time

from rethink_tf.errors import RethinkError


class LeftOut(RethinkError):
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
        except BaseException:  # also an interrupt: a run would write on into a folder that is gone
            self.close()
            raise

    def __call__(self, count: int) -> float:
        """Runs `count` units; returns the seconds that they took."""
        with contextlib.suppress(OSError):  # it has ended; the answer says how
            self._pipe.send(count)
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
            answer = LeftOut(f"its process ended with exit code {self._process.exitcode}")
        if isinstance(answer, LeftOut):
            self.close()
            raise answer
        return answer


def _serve(pipe, make: str, arguments: dict) -> None:
    """The candidate's side: sends its facts, then the seconds of each count that it receives."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # what libraries print is no answer
        os.dup2(quiet, stream)
    try:
        run, facts = pkgutil.resolve_name(make)(**arguments)
        pipe.send(facts)
        while True:
            count, started = pipe.recv(), time.perf_counter()
            run(count)
            pipe.send(time.perf_counter() - started)
    except EOFError:
        pass  # nobody asks any more
    except BaseException as error:  # whatever a framework raises
        pipe.send(LeftOut(f"{type(error).__name__}: {error}".splitlines()[0]))


class Race:
    """Candidates that take turns, so that a noisy neighbour hits all alike.

    `running` has them by name, `left_out` why others cannot run.
    """

    def __init__(self, start=Candidate):
        self.running, self.left_out, self._start = {}, {}, start

    def enter(self, name: str, make: str, /, **arguments) -> None:
        """Starts a candidate under a name; see `Candidate`."""
        try:
            self.running[name] = self._start(make, **arguments)
        except LeftOut as why:
            self.left_out[name] = str(why)

    def best(self, seconds: float, rounds: int = 3) -> dict[str, float]:
        """Best seconds per unit of each candidate, over rounds of such length."""
        counts = dict.fromkeys(self.running, 2)
        best = dict.fromkeys(self.running, math.inf)
        for turn in range(2 + rounds):  # the first compiles, the second says what fills a round
            for name, candidate in list(self.running.items()):
                try:
                    unit = candidate(counts[name]) / counts[name]
                except LeftOut as why:
                    self.left_out[name] = str(why)
                    del self.running[name], best[name]
                    continue
                if turn == 1:
                    counts[name] = max(1, round(seconds / unit))
                elif turn > 1:
                    best[name] = min(best[name], unit)
        return best

    def close(self) -> None:
        """Ends all candidates."""
        while self.running:
            self.running.popitem()[1].close()
