"""What the fuzz tests share: commands run in process as a shell runs them, and damage to files."""

import contextlib
import copy
import io
import json
import os
import warnings
from types import SimpleNamespace

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from rethink_tf.cli import app
from rethink_tf.cli import audit as audit_command

# Shown by no interpreter unless asked for.
HIDDEN = (ResourceWarning, DeprecationWarning, PendingDeprecationWarning)


def fuzz(examples):
    """The settings of all fuzz tests: the same examples in every run, no clock, no database."""
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )


def call(command, argv):
    """Runs a command as `python -m` would.

    Returns:
        `code`, `out`, `err` (warnings are lines of it). An exception that leaves the command is
        raised: it would be a traceback and exit code 1.
    """
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    err = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace", write_through=True)
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        warnings.catch_warnings(record=True) as warned,
    ):
        warnings.simplefilter("always")
        code = app.guarded(command, argv)
    texts = [stream.buffer.getvalue().decode() for stream in (out, err)]
    shown = [str(w.message) for w in warned if not issubclass(w.category, HIDDEN)]
    return SimpleNamespace(code=code, out=texts[0], err=texts[1] + "".join(shown))


def judged(command, argv, codes=(0, 2, 6)):
    """`call`, whose code is one of `codes`, with one line on stderr where it failed, else none."""
    done = call(command, argv)
    assert done.code in codes, (argv, done)
    if done.code == 0:
        assert done.err == "", argv
    else:
        assert done.err.startswith("rethink_tf: ") and done.err.endswith("\n"), argv
        assert done.err.count("\n") == 1, argv
    return done


def audited(argv):
    """`call` of the audit of labels, one line on stderr where it fails.

    Labels that are not what was asked for (code 3) are an answer, on stdout.
    """
    done = call(audit_command.main, argv)
    assert done.code in (0, 2, 3), (argv, done)
    assert ("NOT as asked for" in done.out) == (done.code == 3), argv
    assert done.err.count("\n") == done.err.startswith("rethink_tf: ") == (done.code == 2), argv
    assert done.code == 2 or done.err == "", argv
    return done


def contents(folder):
    """{path: bytes} of all files below a folder; a link is its target."""
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            if os.path.islink(path):
                found[path] = os.readlink(path)
            else:
                with open(path, "rb") as file:
                    found[path] = file.read()
    return found


# Damage


class Trap:
    """Unpickling it makes a folder."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def npz(**arrays):
    """The bytes of an .npz; object arrays are pickled into it."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def npy(array):
    """The bytes of an .npy; an object array is pickled into it."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


ODD = st.sampled_from(
    [
        None,
        True,
        False,
        0,
        -1,
        1,
        2,
        1.5,
        -0.0,
        1e39,
        1e300,
        10**400,
        2**63,
        "",
        "x",
        "$x$",
        "\0",
        "DONE",
        "1",
        [],
        [1],
        {},
        {"a": 1},
        float("nan"),
        float("inf"),
        "\ud800",
        "a\nb",
        "é" * 300,
        [[[]]],
        {"name": [], "passed": 1},
    ]
)


def _nested(depth):
    return b"[" * depth + b"]" * depth


@st.composite
def changed_bytes(draw, content, others=()):
    """A file cut, with bits flipped, with bytes put in or taken out, or with others' content."""
    kind = draw(st.sampled_from(["cut", "cut", "flip", "flip", "flip", "in", "out", "other"]))
    place = draw(st.integers(0, max(len(content) - 1, 0)))
    if kind == "cut":
        return content[:place]
    if kind == "flip":
        changed = bytearray(content)
        for offset in draw(st.lists(st.integers(0, 200), min_size=1, max_size=4)):
            changed[(place + offset) % len(changed)] ^= 1 << draw(st.integers(0, 7))
        return bytes(changed)
    if kind == "in":
        return content[:place] + draw(st.binary(min_size=1, max_size=30)) + content[place:]
    if kind == "out":
        return content[:place] + content[place + draw(st.integers(1, 300)) :]
    depth = draw(st.sampled_from([10, 30, 400, 900, 50_000]))
    odd = [
        b"",
        b"\n",
        b"\0",
        b"\xff\xfe",
        b"null\n",
        b"9" * 5000 + b"\n",
        b"1e999\n",
        b"{}\n",
        _nested(depth),
        _nested(depth) + b"\n",
        b'{"a":' * depth + b"1" + b"}" * depth + b"\n",
        b"\x80\x04}.",
    ]
    return draw(st.sampled_from([*odd, *others]))


@st.composite
def changed_json(draw, value):
    """JSON bytes of a value, one or two places of which hold something else or nothing."""
    value = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(1, 2))):
        inner = value
        while True:
            keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
            key = draw(st.sampled_from(keys)) if keys else None
            deeper = key is not None and isinstance(inner[key], (dict, list)) and inner[key]
            if not deeper or draw(st.booleans()):
                break
            inner = inner[key]
        if key is None or draw(st.integers(0, 4)) == 0:
            inner.clear() if key is None else inner.pop(key)
        else:
            inner[key] = copy.deepcopy(draw(ODD))
    return json.dumps(value).encode() + b"\n"


def damaged(content, others=()):
    """Damage to JSON as JSON too (its first line), to all as bytes."""
    kinds = [changed_bytes(content, others)]
    if content.startswith(b"{"):
        kinds.append(changed_json(json.loads(content.split(b"\n{")[0])))
    return st.one_of(kinds)
