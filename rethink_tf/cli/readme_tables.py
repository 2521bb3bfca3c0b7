"""Writes the README's tables of shipped runs: rethink-tf readme-tables README.md"""

from pathlib import Path

from rethink_tf import console
from rethink_tf.config.command_line import CommandLine, Parsed
from rethink_tf.errors import ExitCode, RequestError
from rethink_tf.report import measured, readme
from rethink_tf.storage import files

LINE = CommandLine(
    "rethink-tf readme-tables",
    "Writes the tables of shipped runs between the marks of a Markdown file.",
    (),
    positionals="[FILE]",
    most=1,
    positionals_help="FILE: the Markdown file [README.md]",
)


def main(argv: list[str]) -> int:
    """The command."""
    return LINE.run(argv, _rewrite)


def _rewrite(parsed: Parsed) -> int:
    path = Path(*parsed.positionals or ("README.md",))
    if not path.is_file():
        raise RequestError(f"{path}: expected a Markdown file with measured blocks; there is none")
    with files.storage(path):
        text = path.read_text()
    count = len(readme.BLOCK.findall(text))
    files.write_atomically(path, readme.rewritten(text, measured.read()).encode())
    console.say(f"{path}: {console.counted(count, 'block')}")
    return ExitCode.DONE
