"""How far a computation is that goes through stages, now and then, with the time left."""

import time

from rethink_tf import console

SECONDS_BETWEEN_LINES = 15.0
FIRST_AFTER = 2.0  # seconds of a stage; what is over by then needs no line


class Progress:
    """Says how far a stage is and how long it will still take: after 2 s, then every 15 s.

    Args:
        say: takes a line.
        clock: seconds.
        interval: seconds between two lines of a stage.
    """

    def __init__(self, say=console.say, clock=time.monotonic, interval=SECONDS_BETWEEN_LINES):
        self.say, self.clock, self.interval = say, clock, interval
        self.stage, self.began, self.first, self.last, self.before = None, 0.0, 0.0, 0.0, 0.0

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
            self.say(f"  {stage}: {100 * share:.0f}%, {console.duration(left)} left")
            self.last = now
