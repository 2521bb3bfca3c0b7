"""Measures training steps, whole runs, checkpoints and input; --help lists the flags."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmark import command

if __name__ == "__main__":
    sys.exit(command.main(sys.argv[1:]))
