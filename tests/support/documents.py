"""Markdown as the tests of README and docs read it: pages, fenced blocks, command lines."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GENERATED = "generated"
SHELL = ("", "sh", "bash", "console")
_FENCE = re.compile(r"^( *)```([^\n`]*)\n(.*?)^\1```\s*$", re.M | re.S)


def pages() -> list[Path]:
    """README, CONTRIBUTING and every page that is written by hand below docs/."""
    written = sorted(
        path
        for path in (ROOT / "docs").rglob("*.md")
        if GENERATED not in path.parts and "_build" not in path.parts
    )
    beside = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    return [*beside, ROOT / "flags" / "README.md", ROOT / "scripts" / "README.md", *written]


def blocks(text: str) -> list[tuple[str, str]]:
    """(language, content) of all fenced blocks, without the indentation of a list."""
    found = []
    for indent, language, content in _FENCE.findall(text):
        lines = [line.removeprefix(indent) for line in content.splitlines()]
        found.append((language.strip(), "\n".join(lines)))
    return found


def command_lines(text: str) -> list[list[str]]:
    """The words of each command in the blocks of a shell, without comments."""
    found = []
    for language, content in blocks(text):
        if language in SHELL:
            for line in content.replace("\\\n", " ").splitlines():
                words: list[str] = []
                lexer = shlex.shlex(line, posix=True, punctuation_chars="&;|")
                lexer.whitespace_split = True
                for word in [*lexer, "&&"]:
                    if set(word) <= set("&;|"):
                        found += [words] if words else []
                        words = []
                    else:
                        words.append(word)
    return found


def arguments(words: list[str]) -> list[str] | None:
    """What `rethink-tf` is given by a command line: a command and its flags; None for others."""
    if words[0] == "rethink-tf":
        return words[1:]
    if words[:3] == ["python", "-m", "rethink_tf"]:
        return words[3:]
    if words[:3] == ["python", "-m", "rethink_tf.main"]:
        return ["train", *words[3:]]
    return None
