"""python -m rethink_tf COMMAND ...: the same as the console script rethink-tf."""

from rethink_tf.cli.app import entry

if __name__ == "__main__":
    entry()
