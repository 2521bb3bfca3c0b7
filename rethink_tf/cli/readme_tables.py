"""Writes the README's tables of shipped runs: rethink-tf readme-tables README.md"""

from pathlib import Path

from rethink_tf import console
from rethink_tf.config.command_line import CommandLine
from rethink_tf.errors import ExitCode, RequestError
from rethink_tf.report import measured, readme
from rethink_tf.storage import files

LINE = CommandLine(
    "rethink-tf readme-tables",
    "Writes the tables of shipped runs between the marks of a Markdown file.",
    (),
    words="[FILE]",
    word_help="FILE: the Markdown file [README.md]",
)


def main(argv: list[str]) -> int:
    """The command."""
    parsed = LINE.parse(argv)
    if parsed is None:
        console.say(LINE.help())
        return ExitCode.DONE
    if len(parsed.words) > 1:
        raise RequestError(f"expected one FILE, received {len(parsed.words)}")
    path = Path(*parsed.words or ("README.md",))
    if not path.is_file():
        raise RequestError(f"{path}: expected a Markdown file with measured blocks; there is none")
    with files.storage(path):
        text = path.read_text()
    count = len(readme.BLOCK.findall(text))
    files.write_atomically(path, readme.rewritten(text, measured.read()).encode())
    console.say(f"{path}: {console.counted(count, 'block')}")
    return ExitCode.DONE
