"""Writes the README's tables of shipped runs: rethink-tf readme-tables README.md"""

from pathlib import Path

from rethink_tf import console
from rethink_tf.config.arguments import Parser
from rethink_tf.errors import ExitCode, RequestError
from rethink_tf.report import measured, readme
from rethink_tf.storage import files


def main(argv: list[str]) -> int:
    """The command."""
    parser = Parser("rethink-tf readme-tables", "Writes the README's tables of measured runs.")
    parser.add_argument("file", nargs="?", default="README.md", metavar="FILE", help="[README.md]")
    asked = parser.parsed(argv)
    if asked is None:
        return ExitCode.DONE
    path = Path(asked.file)
    if not path.is_file():
        raise RequestError(f"{path}: expected a Markdown file with measured blocks; there is none")
    with files.storage(path):
        text = path.read_text()
    count = len(readme.BLOCK.findall(text))
    files.write_atomically(path, readme.rewritten(text, measured.read()).encode())
    console.say(f"{path}: {console.counted(count, 'block')}")
    return ExitCode.DONE
