"""The scripts that reproduce tables and figures, with a python that only notes what it is given."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import sweep_test

from rethink_tf.cli.sweep import shard
from rethink_tf.errors import RequestError
from rethink_tf.experiments.plan import EXPERIMENTS

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def run(tmp_path):
    """(exit code, the command lines) of a script, each python ending with the next code."""

    def script(name, *argv, codes="0 0", **env):
        python = tmp_path / "python"
        python.write_text(
            f'#!/bin/bash\ncodes=({codes})\necho "$*" >> {tmp_path}/said\n'
            f"exit ${{codes[$(wc -l < {tmp_path}/said) - 1]}}\n"
        )
        python.chmod(0o755)
        (tmp_path / "srun").write_text('#!/bin/bash\nshift\nexec "$@"\n')
        (tmp_path / "srun").chmod(0o755)
        path = f"{tmp_path}:{os.environ['PATH']}"
        env = {"PATH": path, "PYTHON": str(python), **env}
        code = subprocess.run([SCRIPTS / name, *argv], env=env, cwd=tmp_path).returncode
        return code, (tmp_path / "said").read_text().splitlines()

    return script


def test_a_sweep_and_its_report(run):
    code, said = run("reproduce_table1.sh", SEEDS="3", SCALE="cpu", DATA="/data", SWEEP="--slots=2")
    asked = "--seeds=3 --scale=cpu --runs_dir=runs"
    assert said == [
        f"-m rethink_tf sweep {asked} --data_dir=/data --slots=2 table1",
        f"-m rethink_tf report {asked} table1",
    ]
    assert code == 0


def test_what_is_typed_holds_against_the_variables_and_a_dry_run_has_no_report(run):
    _, said = run("reproduce_table1.sh", "--scale=smoke", "--rows=mlp_*", "--dry_run", SCALE="cpu")
    typed = "--seeds=1 --scale=cpu --runs_dir=runs table1 --scale=smoke --rows=mlp_* --dry_run"
    assert said == [f"-m rethink_tf sweep {typed}"]


def test_help_says_what_the_script_does():
    asked = [SCRIPTS / "reproduce_table1.sh", "--help"]
    said = subprocess.run(asked, capture_output=True, text=True)
    assert said.returncode == 0 and said.stderr == ""
    assert "and figures, then writes" in said.stdout
    assert said.stdout.endswith("is\nthe sweep's.\n") and "#" not in said.stdout.split("\n")[0]


@pytest.mark.parametrize("first, commands, code", [(4, 2, 4), (130, 1, 130), (2, 1, 2)])
def test_failed_runs_leave_a_report_a_stopped_sweep_none(run, first, commands, code):
    ended, said = run("reproduce.sh", "table4", codes=f"{first} 0")
    assert (ended, len(said)) == (code, commands)


def test_the_scripts_name_experiments():
    found = sorted(SCRIPTS.glob("reproduce_*.sh"))
    assert len(found) == 7
    for script in found:
        names = re.search(r'reproduce\.sh" (.+) "\$@"$', script.read_text(), re.M)[1].split()
        assert set(names) <= set(EXPERIMENTS)


def test_a_task_of_an_array_sweeps_its_share(run):
    task = {
        "SLURM_ARRAY_TASK_ID": "12",
        "SLURM_ARRAY_TASK_MIN": "10",
        "SLURM_ARRAY_TASK_COUNT": "8",
    }
    code, (said,) = run("slurm_array.sbatch", "table1", "--seeds=3", **task)
    assert code == 0
    assert said == "-m rethink_tf sweep table1 --seeds=3 --slots=1 --shard=2/8"
    assert shard("2/8") == (2, 8)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ("rays", "some of kill,ray, received rays"),
        ("kill,", "some of kill,ray, received kill,"),
        ("", "a value, as in --parts=VALUE; received ''"),
    ],
)
def test_parts_that_are_none_are_refused(parts, expected):
    with pytest.raises(RequestError) as error:
        sweep_test.main([f"--parts={parts}"])
    assert str(error.value) == f"--parts: expected {expected}"
