"""Every flagfile of the project parses, resolves, and says nothing of places."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from report_runs import write_run

from rethink_tf.config import flags as command_line
from rethink_tf.config import run_config
from rethink_tf.experiments import plan
from rethink_tf.runs import pretrained, results

REPOSITORY = Path(__file__).resolve().parents[2]
EVERY = sorted((REPOSITORY / "flags").rglob("*.flags"))
# Of commands that train nothing, with flags of their own: see test_table3.
OTHERS = {
    path
    for found in plan.EXPERIMENTS.values()
    if found.command != plan.TRAINING
    for path in plan._paths(found)
}
EARLY = (5, 20, 50)
# Of data sets that are not here: what they are follows from their content.
TFDS = sorted((REPOSITORY / "flags" / "wrn_tfds").glob("*.flags"))
FILES = [path for path in EVERY if path not in OTHERS and path not in TFDS]
NAMES = [str(path.relative_to(REPOSITORY)) for path in FILES]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder where the parents of all transfers are finished, with snapshots of three epochs."""
    folder = tmp_path_factory.mktemp("runs")
    for path in (REPOSITORY / "flags" / "levels").glob("*.flags"):
        parent, _ = resolved(path)
        run_id = run_config.run_id(parent)
        write_run(folder, parent, weights_hash=run_id[-12:])
        for epoch in EARLY:
            results.save_snapshot(folder / run_id, epoch, {"0000/w": np.zeros(1)})
    return folder


def resolved(path, runs="no runs"):
    """The configuration of a file, on digits where it names no data set."""
    wanted, options = command_line.parse([f"--flagfile={path}"])
    wanted = dataclasses.replace(wanted, dataset=wanted.dataset or "digits")
    if wanted.init_from is not None and wanted.init_from.endswith(".flags"):
        assert (REPOSITORY / wanted.init_from).is_file(), "from the repository's root"
        wanted = dataclasses.replace(wanted, init_from=str(REPOSITORY / wanted.init_from))
    return run_config.resolve(pretrained.adopt(wanted, runs)), options


def test_there_are_flagfiles():
    assert len(FILES) >= 20
    assert "flags/quickstart.flags" in NAMES


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_flagfile_is_one_run(path, runs):
    found, options = resolved(path, runs)
    assert run_config.run_id(found).startswith(f"{found.model}-")
    assert options == command_line.Options(), "where and how is for the person who types"


@pytest.mark.parametrize("path", EVERY, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_a_flagfile_reads_well(path):
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# "), "the first line says what the file is"
    assert max(map(len, lines)) <= 100
    assert all(line.startswith(("# ", "--")) for line in lines)
    flags = [line.partition("=")[0] for line in lines if line.startswith("--")]
    assert len(flags) == len(set(flags)), "each flag once"


@pytest.mark.parametrize("folder", sorted({path.parent for path in FILES}), ids=lambda p: p.name)
def test_the_files_of_a_folder_are_different_runs(folder, runs):
    files = sorted(folder.glob("*.flags"))
    assert len({run_config.run_id(resolved(path, runs)[0]) for path in files}) == len(files)


def test_the_levels_of_the_earlier_study_differ_in_rate_and_weight_decay_alone(runs):
    for path in sorted((REPOSITORY / "flags" / "levels").glob("*.flags")):
        ours, its = (
            resolved(p)[0] for p in (path, path.parents[1] / "levels_constant" / path.name)
        )
        assert (its.learning_rate, its.lr_decay, its.weight_decay) == (0.01, 1.0, 1e-4)
        rates = {"learning_rate": 0.1, "lr_decay": 0.1, "weight_decay": 0.0, "lr_schedule": "step"}
        assert dataclasses.replace(its, **rates) == ours


@pytest.mark.parametrize("path", TFDS, ids=lambda path: path.stem)
def test_other_sets_of_the_wide_resnet_differ_in_the_data_alone(path):
    name, _, labels = path.stem.partition("_")
    other, _ = command_line.parse([f"--flagfile={path}"])
    ours, _ = command_line.parse(
        [f"--flagfile={path.parents[1] / 'wrn' / f'cifar10_{labels}.flags'}"]
    )
    size = {"kmnist": 28, "stl10": 96}[name]
    assert (other.dataset, other.input_size) == (f"tfds:{name}", size)
    assert dataclasses.replace(other, dataset=ours.dataset, input_size=ours.input_size) == ours


def test_levels_tested_on_clean_images_differ_in_that_alone(runs):
    paths = sorted((REPOSITORY / "flags" / "levels_clean_test").glob("*.flags"))
    assert len(paths) == 30
    for path in paths:
        clean, ours = (resolved(p)[0] for p in (path, path.parents[1] / "levels" / path.name))
        assert clean.test_pixels == "original" and ours.test_pixels == "as_trained"
        assert dataclasses.replace(clean, test_pixels="as_trained") == ours


def test_the_quickstart_is_the_users_own_line():
    path = REPOSITORY / "flags" / "quickstart.flags"
    typed = command_line.parse(["--model=inception", "--corrupt=1.0"])
    assert command_line.parse([f"--flagfile={path}"]) == typed
    assert run_config.run_id(resolved(path)[0]) == "inception-e83e0d3a687b"


def test_every_level_has_its_transfer(runs):
    levels = {path.stem for path in (REPOSITORY / "flags" / "levels").glob("*.flags")}
    assert len(levels) == 41
    children = [resolved(p, runs)[0] for p in FILES if p.parent.name == "transfer"]
    trained = [c for c in children if not c.init_from.startswith("random")]
    ended = [run_config.parent_ref(c).run_id for c in trained if c.init_epoch == 300]
    early = {
        epoch: [run_config.parent_ref(c).run_id for c in trained if c.init_epoch == epoch]
        for epoch in EARLY
    }
    assert sorted(ended) == sorted(path.name for path in runs.iterdir())
    assert len(early[5]) == 9 and set(early[5]) < set(ended), "every kind, at two levels"
    assert early[5] == early[20] == early[50]
    (line,) = [c for c in children if c not in trained]
    for child in trained:  # the dashed line differs in nothing but the weights
        own = dataclasses.replace(child, init_from=line.init_from, init_epoch=None)
        assert own == line
