"""The README is short, and says what the code does."""

import re

import documents

from rethink_tf.report import measured, readme
from rethink_tf.training.recording import messages

ROOT = documents.ROOT
README = (ROOT / "README.md").read_text()
MOST_LINES = 150


def test_it_is_short():
    assert len(README.splitlines()) <= MOST_LINES


def test_its_numbers_are_the_shipped_ones():
    assert readme.rewritten(README, measured.read()) == README
    assert [match[1] for match in readme.BLOCK.findall(README)] == ["table1"]
    rows = re.findall(r"^\| \[\w+\]\(flags/table1/\w+\.flags\) .*\(n\s=\s\d\)", README, re.M)
    assert len(rows) >= 6


def test_the_output_shown_is_that_of_the_quickstart():
    quickstart = (ROOT / "docs" / "quickstart.md").read_text()
    (shown,) = [c for language, c in documents.blocks(README) if language == "text"]
    assert shown in [content for _, content in documents.blocks(quickstart)]
    assert messages.header(messages.columns()).startswith(shown.splitlines()[0])


def test_the_test_command_is_what_ci_runs():
    ci = (ROOT / ".ci" / "run").read_text()
    assert "pip install -e '.[test]' && python -m pytest -n 2 --dist=loadfile\n" in README
    assert "-e '.[test]'\npython -m pytest -n 2 --dist=loadfile\n" in ci


def test_the_first_command_is_the_papers():
    assert "python -m rethink_tf.main --model=inception --corrupt=1.0\n" in README


def test_there_is_a_licence_and_a_citation_of_this_version():
    import rethink_tf

    assert "Apache License\n" in (ROOT / "LICENSE").read_text()
    assert f"version: {rethink_tf.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert 'license = "Apache-2.0"\n' in (ROOT / "pyproject.toml").read_text()
