"""What is printed: lines, warnings, durations, how far a long computation is."""

import contextlib
import os
import sys
import time
from collections.abc import Callable

from rethink_tf.errors import StorageError
from rethink_tf.printable import printable

SECONDS_BETWEEN_LINES = 15.0
FIRST_AFTER = 2.0  # seconds of a stage; what is over by then needs no line


_CHANCE = {True: "at chance", False: "NOT at chance", None: "(chance could not be tested)"}


def say(text: str = "") -> None:
    """One or more lines to standard output, at once; see `printable` for what is written."""
    text = printable(text, lines=True)
    try:
        try:
            print(text, flush=True)
        except UnicodeEncodeError:  # a terminal of few characters
            print(text.encode("ascii", "backslashreplace").decode(), flush=True)
    except BrokenPipeError:  # the reader has gone; the run has not
        sys.stdout = open(os.devnull, "w")
    except OSError as error:
        sys.stdout = open(os.devnull, "w")  # or its end would fail again
        raise StorageError(f"standard output: {error.strerror}") from None


def warn(line: str) -> None:
    """A line to standard error, beside what a command prints."""
    with contextlib.suppress(OSError):  # where even this cannot be written, the exit code tells
        print("rethink_tf:", printable(line, lines=True), file=sys.stderr)


def duration(seconds: float) -> str:
    """Seconds in words: `45 s`, `12 min`, `3.4 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def counted(number: int, word: str) -> str:
    """A number of things: `1 run`, `2 runs`."""
    return f"{number} {word}{'' if number == 1 else 's'}"


class StageProgress:
    """Says how far a stage is and how long it will still take: after 2 s, then every 15 s.

    Args:
        say: takes a line.
        clock: seconds.
        interval: seconds between two lines of a stage.
    """

    def __init__(
        self,
        say: Callable[[str], None] = say,
        clock: Callable[[], float] = time.monotonic,
        interval: float = SECONDS_BETWEEN_LINES,
    ) -> None:
        self.say, self.clock, self.interval = say, clock, interval
        self.stage: str | None = None
        self.began, self.first, self.last, self.before = 0.0, 0.0, 0.0, 0.0

    def __call__(self, stage: str, share: float) -> None:
        """One step of `stage` is done, of which `share` (0 to 1) is done altogether."""
        now = self.clock()
        again = share < self.before or self.before >= 1  # the same stage once more
        self.before = share
        if stage != self.stage or again:
            self.stage, self.began, self.first = stage, now, share
            self.last = now - self.interval + min(FIRST_AFTER, self.interval)
        elif now - self.last >= self.interval and self.first < share < 1:
            left = (now - self.began) * (1 - share) / (share - self.first)
            self.say(f"  {stage}: {100 * share:.0f}%, {duration(left)} left")
            self.last = now
