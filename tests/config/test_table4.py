"""Table 4: each row's flagfile is the row's configuration."""

from pathlib import Path

import pytest

from rethink_tf.config import paper
from rethink_tf.config.flags import parse
from rethink_tf.config.run_config import resolve

FLAGS = Path(__file__).resolve().parents[2] / "flags" / "table4"


@pytest.mark.parametrize("name", paper.TABLE4)
def test_flagfiles_are_the_rows(name):
    wanted, _ = parse([f"--flagfile={FLAGS / name}.flags"])
    assert resolve(wanted) == paper.table4_config(paper.TABLE4[name])
    assert paper.table4_row(resolve(wanted)) == paper.TABLE4[name]


def test_no_row_is_without_a_flagfile_and_the_papers_numbers_hold():
    assert {path.stem for path in FLAGS.glob("*.flags")} == set(paper.TABLE4)
    percent = [row.accuracy and round(100 * row.accuracy, 9) for row in paper.TABLE4.values()]
    assert percent == [100.0, None, 100.0, 99.21, 99.93, 99.28]
