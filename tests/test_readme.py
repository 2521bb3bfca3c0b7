"""The README says what the code does."""

import re
from pathlib import Path

from rethink_tf.errors import ExitCode

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def test_the_table_of_exit_codes_is_the_enum():
    rows = re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", README, re.M)
    assert [(int(code), name) for code, name in rows] == [(c.value, c.name) for c in ExitCode]


def test_the_files_that_are_linked_are_there():
    linked = re.findall(r"\]\((flags/[^)]+)\)", README)
    assert len(linked) > 5
    assert not [name for name in linked if not (ROOT / name).is_file()]


def test_the_contents_are_the_sections_in_their_order():
    sections = [line[3:] for line in README.splitlines() if line.startswith("## ")]
    anchors = [re.sub(r"[^a-z0-9 -]", "", name.lower()).replace(" ", "-") for name in sections]
    before, after = README.split("\nContents:\n")
    assert re.findall(r"\]\(#([a-z0-9-]+)\)", after.split("\n## ")[0]) == anchors[1:]
    assert anchors[0] == "two-commands" and before.count("\n## ") == 1


def test_the_test_command_is_what_ci_runs():
    ci = (ROOT / ".ci" / "run").read_text()
    assert "pip install -e '.[test]' && python -m pytest -n 2 --dist=loadfile\n" in README
    assert "-e '.[test]'\npython -m pytest -n 2 --dist=loadfile\n" in ci
