"""Command lines that have no field of a run: one clear line for a wrong one."""

import argparse

from rethink_tf.errors import RequestError


class Parser(argparse.ArgumentParser):
    """A parser that raises RequestError where argparse would print its usage and end."""

    def __init__(self, command: str, description: str, **more):
        named = {"prog": command, "description": description, **more}
        super().__init__(allow_abbrev=False, **named)

    def error(self, message: str):
        raise RequestError(f"{message}; --help lists the flags")

    def parsed(self, argv: list[str]) -> argparse.Namespace | None:
        """What was asked for; None after --help, which is printed."""
        try:
            return self.parse_args(argv)
        except SystemExit:
            return None
