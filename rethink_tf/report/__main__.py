"""python -m rethink_tf.report"""

import sys

from rethink_tf.cli.report import main
from rethink_tf.main import guarded

if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
