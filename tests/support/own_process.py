"""Parts of tests that need a process of their own, for TensorFlow's devices are set up but once."""

import json
import os
import subprocess
import sys
from pathlib import Path


def found_by(function, test_file, folder):
    """What a function of a test file prints last, as JSON; it is given `folder`, elsewhere."""
    here = Path(test_file)
    places = [str(place) for place in (here.parent, here.parents[1] / "support", here.parents[2])]
    code = f"import sys; sys.path[:0] = {places!r}\n"
    code += f"import pathlib, {here.stem} as t\n"
    code += f"t.{function}(pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", code, str(folder)]
    quiet = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, capture_output=True, text=True, env=quiet, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
