"""What is printed: lines, warnings, durations, and on a terminal or in a notebook one live line.

Colour and the live line are for terminals alone: files and pipes get plain lines. `NO_COLOR` takes
the colour away. In a notebook the live line is one bar, and the rows of a table that grows stand
in it, each in place of the one before.
"""

import contextlib
import html
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from rethink_tf.errors import StorageError
from rethink_tf.printable import printable

SECONDS_BETWEEN_LINES = 15.0
SECONDS_BETWEEN_DRAWINGS = 0.2  # of a line that is redrawn in place
FIRST_AFTER = 2.0  # seconds until a stage gets a line; shorter stages get none
# Pattern: the style of the matching text on a terminal.
STYLES = {
    r"(?m)^ *epoch +(loss|train) .*$": "bold",  # column titles
    r"(?m)^(Run|Model|Data|Labels|Not default|Audit|Device|Conversions)(?=  )": "bold",
    r"\b(INVALID|DIVERGED|FAILED|NOT SOLVED|NOT at chance|not memorised)\b": "bold red",
    r"\bit memorised\b": "bold green",
    r"(?m)^  (loss|train|train_running|clean|noisy|noisy>true|test|test_loss|rate)(?=  )": "bold",
    r"(?m)^  (images/s|time)(?=  )": "bold",
}


class Row(str):
    """A line of a table that grows by a row at a time; in a notebook only the last is shown."""

    def __radd__(self, other: str) -> "Row":
        return Row(str(other) + str(self))


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook. Does not import IPython."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return getattr(shell, "kernel", None) is not None


def say(text: str = "") -> None:
    """One or more lines to standard output, at once; see `printable` for what is written."""
    row = isinstance(text, Row)
    text = printable(text, lines=True)
    if in_notebook():
        if row:
            _BAR.show(row=text)
            return
        _BAR.draw()  # show the last update before other text
    try:
        _LIVE.clear()
        try:
            _write(text)
        except UnicodeEncodeError:  # a terminal that cannot show all characters
            _put(text.encode("ascii", "backslashreplace").decode() + "\n", sys.stdout)
    except BrokenPipeError:  # the reader has gone; the run continues
        sys.stdout = open(os.devnull, "w")
    except OSError as error:
        sys.stdout = open(os.devnull, "w")  # otherwise Python's exit would fail on it again
        raise StorageError(f"standard output: {error.strerror}") from None


_say = say  # for functions with a parameter called `say`


def _put(text: str, stream: TextIO | None) -> None:
    """Writes in one call: with PYTHONUNBUFFERED the pieces of two processes' lines would mix.

    A stream that was closed before Python started is None, and gets nothing.
    """
    if stream is not None:
        stream.write(text)
        stream.flush()


def _write(text: str) -> None:
    if not coloured(sys.stdout):
        _put(text + "\n", sys.stdout)
        return
    from rich.console import Console
    from rich.text import Text

    shown = Text(text)
    for pattern, style in STYLES.items():
        shown.highlight_regex(pattern, style)
    Console(file=sys.stdout, highlight=False).print(shown, soft_wrap=True)
    sys.stdout.flush()


def coloured(stream: Any) -> bool:
    """Whether a stream gets colour: a terminal that knows it, without NO_COLOR."""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM", "") not in ("", "dumb")
    return wanted and stream is not None and stream.isatty()


def _is_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


def terminal_width() -> int | None:
    """The width of the terminal in characters; None where the output is no terminal."""
    if in_notebook() or not _is_terminal():
        return None
    return shutil.get_terminal_size().columns


def warn(line: str) -> None:
    """A line to standard error, beside what a command prints."""
    with contextlib.suppress(OSError):  # if even this cannot be written, the exit code remains
        _LIVE.clear()
        name = "\033[1;31mrethink_tf:\033[0m" if coloured(sys.stderr) else "rethink_tf:"
        _put(f"{name} {printable(line, lines=True)}\n", sys.stderr)


class _Live:
    """The last line of a terminal, which is drawn anew in place."""

    def __init__(self) -> None:
        self.drawn = False

    def show(self, text: str) -> None:
        # A longer line would wrap, and its first part would stay.
        width = shutil.get_terminal_size().columns - 1
        print(f"\r{printable(text)[:width]}", end="\033[K", flush=True)
        self.drawn = True

    def clear(self) -> None:
        if self.drawn:
            self.drawn = False
            print("\r\033[K", end="", flush=True)


class _Bar:
    """The live line of a notebook: a bar with a text, below it titles and last row of a table."""

    def __init__(self) -> None:
        self.handle: Any = None
        self.drawn_at, self.drawn = float("-inf"), True
        self.share, self.text, self.titles, self.row = 0.0, "", "", ""

    def show(self, text: str | None = None, share: float | None = None, row: str = "") -> None:
        """Takes what is given in place of what was there; draws it now and then."""
        self.text = self.text if text is None else printable(text)
        self.share = self.share if share is None else share
        titles, _, last = row.rpartition("\n")  # the first row comes with its titles
        self.titles, self.row = titles or self.titles, last or self.row
        self.drawn = False
        if time.monotonic() - self.drawn_at >= SECONDS_BETWEEN_DRAWINGS:
            self.draw()

    def draw(self) -> None:
        """Draws it as it is now, where it has changed."""
        if self.drawn:
            return
        self.drawn_at, self.drawn = time.monotonic(), True
        shown = "\n".join(line for line in (self.text, self.titles, self.row) if line)
        content = {
            "text/html": f"<progress value='{self.share:.4f}' max='1' style='width:100%'>"
            f"</progress><pre>{html.escape(shown)}</pre>",
            "text/plain": shown,
        }
        if self.handle is None:
            from IPython.display import display

            self.handle = display(content, raw=True, display_id=True)
        else:
            self.handle.update(content, raw=True)

    def end(self) -> None:
        """Leaves it as it is; the next one is new."""
        self.draw()
        self.__init__()  # type: ignore[misc]  # as it was


_LIVE, _BAR = _Live(), _Bar()


def is_live() -> bool:
    """Whether there is a live line: on a terminal and in a notebook."""
    return in_notebook() or (_is_terminal() and os.environ.get("TERM", "") != "dumb")


def show_live(text: str, share: float) -> None:
    """Draws the live line anew; nothing where there is none.

    Args:
        text: a line.
        share: of the whole that is done, 0 to 1.
    """
    if in_notebook():
        _BAR.show(text, share)
    elif is_live():
        _LIVE.show(text)


def clear_live() -> None:
    """Takes the live line of a terminal away."""
    _LIVE.clear()


def end_live() -> None:
    """Ends the live line; in a notebook what it showed last stays."""
    _LIVE.clear()
    _BAR.end()


def duration(seconds: float) -> str:
    """Seconds in words: `45 s`, `12 min`, `3.4 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def counted(number: int, word: str) -> str:
    """A number of things: `1 run`, `2 runs`."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """A table as text: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *rest in rows:
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]))
    return "\n".join(lines)


class StageProgress:
    """Shows how far a stage is and how long it will still take.

    Where there is a live line, in it; elsewhere by a line after 2 s, then every 15 s.

    Args:
        say: takes a line; with another than `say` there is no live line.
        clock: seconds.
        interval: seconds between two lines of a stage.
    """

    def __init__(
        self,
        say: Callable[[str], None] = say,
        clock: Callable[[], float] = time.monotonic,
        interval: float | None = None,
    ) -> None:
        self.live = say is _say and is_live()
        usual = SECONDS_BETWEEN_DRAWINGS if self.live else SECONDS_BETWEEN_LINES
        self.interval = usual if interval is None else interval
        self.say, self.clock = say, clock
        self.stage: str | None = None
        self.began, self.first, self.last, self.before = 0.0, 0.0, 0.0, 0.0

    def __call__(self, stage: str, share: float) -> None:
        """One step of `stage` is done, of which `share` (0 to 1) is done altogether."""
        now = self.clock()
        again = share < self.before or self.before >= 1  # the same stage starts again
        self.before = share
        if stage != self.stage or again:
            self.stage, self.began, self.first = stage, now, share
            self.last = now - self.interval + min(FIRST_AFTER, self.interval)
        elif now - self.last >= self.interval and self.first < share < 1:
            left = (now - self.began) * (1 - share) / (share - self.first)
            line = f"{stage}: {100 * share:.0f}%, {duration(left)} left"
            if self.live:
                show_live(line, share)
            else:
                self.say(f"  {line}")
            self.last = now
        if share >= 1 and self.live:
            clear_live()
