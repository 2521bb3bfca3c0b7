"""python -m rethink_tf COMMAND ...: the same as the console script rethink-tf."""

import sys

from rethink_tf.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
