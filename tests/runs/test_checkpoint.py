"""Checkpoint files: round trip, the two newest, damage, and nothing unpickled."""

import hashlib
import io
import json
import re

import numpy as np
import pytest
from short_runs import ARRAYS, header, save

from rethink_tf.runs import checkpoint


def damage(path, how):
    content = bytearray(path.read_bytes())
    if how == "bit":
        content[len(content) // 2] ^= 1
    elif how == "magic":
        content[0] ^= 1
    elif how == "version":
        content = content.replace(b"checkpoint 1 ", b"checkpoint 2 ", 1)
    path.write_bytes({"cut": content[:-5], "empty": b"", "line": content[:60]}.get(how, content))


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    path = save(tmp_path / "new" / "folder", 3, 14)
    assert path.name == "000003-00000014.ckpt"
    found, arrays = checkpoint.read(path)
    assert found == header(3, 14)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)
    assert path.read_bytes().startswith(b"rethink_tf checkpoint 1 sha256 ")


def test_the_two_newest_are_kept(tmp_path):
    assert checkpoint.stored(tmp_path / "none") == []
    for epoch, step in ((1, 0), (2, 0), (2, 7), (9, 0), (10, 0)):
        save(tmp_path, epoch, step)
    names = [path.name for path in checkpoint.stored(tmp_path)]
    assert names == ["000009-00000000.ckpt", "000010-00000000.ckpt"]
    assert checkpoint.newest(tmp_path, pytest.fail)[0]["epoch"] == 10
    assert len(list(tmp_path.iterdir())) == 2, "nothing beside them"


@pytest.mark.parametrize("how", ["bit", "magic", "version", "cut", "empty", "line"])
def test_a_damaged_one_is_named_and_the_older_is_used(how, tmp_path):
    save(tmp_path, 1)
    path, said = save(tmp_path, 2), []
    damage(path, how)
    found, _ = checkpoint.newest(tmp_path, said.append)
    assert found["epoch"] == 1
    (line,) = said
    why = "its checksum is wrong" if how in ("bit", "cut", "line") else "not a checkpoint"
    assert re.search(
        rf"{re.escape(str(path))}: damaged \({re.escape(why)}\); the older checkpoint is used", line
    )
    damage(checkpoint.stored(tmp_path)[0], "bit")
    said.clear()
    assert checkpoint.newest(tmp_path, said.append) is None
    assert [line.partition("; ")[2] for line in said] == ["no older checkpoint is sound"] * 2


def test_nothing_is_unpickled(tmp_path):
    buffer, said = io.BytesIO(), []
    np.savez(buffer, header=np.array(json.dumps(header(5))), w=np.array([{}], object))
    content = buffer.getvalue()
    digest = hashlib.sha256(content).hexdigest().encode()
    path = tmp_path / "000005-00000000.ckpt"
    path.write_bytes(b"rethink_tf checkpoint 1 sha256 " + digest + b"\n" + content)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        checkpoint.read(path)
    assert checkpoint.newest(tmp_path, said.append) is None
    assert "damaged (Object arrays" in said[0]
    assert "; no older checkpoint is sound" in said[0]
