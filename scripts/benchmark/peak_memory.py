"""Runs a command, passes SIGTERM on to it, and writes its peak memory to a file.

    python peak_memory.py FILE COMMAND ...

A child's peak memory, as the system counts it, begins with what its parent held when it was
started, so the parent must be a small process such as this one.
"""

import json
import resource
import signal
import subprocess
import sys
from pathlib import Path

if __name__ == "__main__":
    process = subprocess.Popen(sys.argv[2:])
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    code = process.wait()
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    peak *= 1 if sys.platform == "darwin" else 1024
    Path(sys.argv[1]).write_text(json.dumps({"peak_bytes": peak}))
    sys.exit(code if code >= 0 else 128 - code)
