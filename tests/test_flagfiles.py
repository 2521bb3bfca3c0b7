"""Every flagfile of the project parses, resolves, and says nothing of places."""

import dataclasses
from pathlib import Path

import pytest

from rethink_tf import command_line, config

REPOSITORY = Path(__file__).resolve().parent.parent
FILES = sorted((REPOSITORY / "flags").rglob("*.flags"))
NAMES = [str(path.relative_to(REPOSITORY)) for path in FILES]


def resolved(path):
    """The configuration of a file, on digits where it names no data set."""
    wanted, options = command_line.parse([f"--flagfile={path}"])
    wanted = dataclasses.replace(wanted, dataset=wanted.dataset or "digits")
    return config.resolve(wanted), options


def test_there_are_flagfiles():
    assert len(FILES) >= 20
    assert "flags/quickstart.flags" in NAMES


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_flagfile_is_one_run(path):
    found, options = resolved(path)
    assert config.run_id(found).startswith(f"{found.model}-")
    assert options == command_line.Options(), "where and how is for the person who types"


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_flagfile_reads_well(path):
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# "), "the first line says what the file is"
    assert max(map(len, lines)) <= 100
    assert all(line.startswith(("# ", "--")) for line in lines)
    flags = [line.partition("=")[0] for line in lines if line.startswith("--")]
    assert len(flags) == len(set(flags)), "each flag once"


@pytest.mark.parametrize("folder", sorted({path.parent for path in FILES}), ids=lambda p: p.name)
def test_the_files_of_a_folder_are_different_runs(folder):
    files = sorted(folder.glob("*.flags"))
    assert len({config.run_id(resolved(path)[0]) for path in files}) == len(files)


def test_the_quickstart_is_the_users_own_line():
    path = REPOSITORY / "flags" / "quickstart.flags"
    typed = command_line.parse(["--model=inception", "--corrupt=1.0"])
    assert command_line.parse([f"--flagfile={path}"]) == typed
    assert config.run_id(resolved(path)[0]) == "inception-ab7838f803dc"
