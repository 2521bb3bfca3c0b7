"""python -m rethink_tf.report"""

import sys

from rethink_tf.main import guarded
from rethink_tf.report.command import main

if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
