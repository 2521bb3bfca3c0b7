"""What is said of a place that cannot be written, before the work begins."""

import re

import pytest

from rethink_tf.cli import audit, bound, examples, noise, report, show
from rethink_tf.cli.app import guarded
from rethink_tf.errors import ExitCode, StorageError
from rethink_tf.storage import files


def test_a_file_in_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "file").touch()
    for path in ("file", "file/run", "file/a/b"):
        with pytest.raises(StorageError) as error, files.storage(tmp_path / path):
            (tmp_path / path).mkdir(parents=True)
        told = f"expected a folder, but {tmp_path}/file is a file; nothing finished was lost"
        assert told in str(error.value)


def test_a_folder_that_is_not_there_is_named_with_what_makes_it(tmp_path):
    with pytest.raises(StorageError) as error:
        files.write_atomically(tmp_path / "a b" / "c" / "x.png", b"")
    told = f"No such file or directory; type mkdir -p '{tmp_path}/a b/c'; nothing"
    assert told in str(error.value)


def test_a_folder_is_tried_without_being_made(tmp_path):
    (tmp_path / "file").touch()
    files.require_writable_folder(tmp_path / "a" / "b")
    files.require_writable_folder(tmp_path)
    for path in ("file", "file/a"):
        with pytest.raises(StorageError, match="expected a folder, but .*file is a file"):
            files.require_writable_folder(tmp_path / path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


WORK = {
    "show": (show, "_grid", ["--dataset=digits", "--out=PLACE/x.png"]),
    "noise": (noise, "prepare", ["--dataset=digits", "--export=PLACE/x.npz"]),
    "audit": (audit, "read_labels", ["labels.csv", "--picture=PLACE/x.png"]),
    "report": (report, "collect", ["table1", "--out=PLACE"]),
    "examples": (examples.example_scores, "of_run", ["RUN", "--out=PLACE/x"]),
    "bound": (bound.noise_bound, "of_run", ["RUN", "--out=PLACE"]),
}


@pytest.mark.parametrize("name", WORK)
def test_a_command_looks_at_its_output_before_it_works(name, tmp_path, monkeypatch, capsys):
    module, work, argv = WORK[name]
    (tmp_path / "file").touch()
    (tmp_path / "config.json").write_text("{}")

    def never(*_, **__):
        raise AssertionError("it works before it looks")

    monkeypatch.setattr(module, work, never)
    command = {"examples": examples, "bound": bound}.get(name, module).main
    argv = [a.replace("PLACE", f"{tmp_path}/file").replace("RUN", str(tmp_path)) for a in argv]
    assert guarded(command, argv) == ExitCode.STORAGE_FAILED
    out, err = capsys.readouterr()
    assert not out
    assert re.fullmatch(r"rethink_tf: .*expected a folder, but .*/file is a file.*\n", err)
