"""The scripts that reproduce tables and figures, with a python that only notes what it is given."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import sweep_test

from rethink_tf.experiments import EXPERIMENTS
from rethink_tf.sweep import shard

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"


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
    asked = "table1 --seeds=3 --scale=cpu --runs_dir=runs"
    assert said == [
        f"-m rethink_tf.sweep {asked} --data_dir=/data --slots=2", f"-m rethink_tf.report {asked}"
    ]  # fmt: skip
    assert code == 0


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
    task = {"SLURM_ARRAY_TASK_ID": "12", "SLURM_ARRAY_TASK_MIN": "10",
            "SLURM_ARRAY_TASK_COUNT": "8"}  # fmt: skip
    code, (said,) = run("slurm_array.sbatch", "table1", "--seeds=3", **task)
    assert code == 0
    assert said == "-m rethink_tf.sweep table1 --seeds=3 --slots=1 --shard=2/8"
    assert shard("2/8") == (2, 8)


@pytest.mark.parametrize("parts", ["rays", "", "kill,"])
def test_parts_that_are_none_are_refused(parts, capsys):
    with pytest.raises(SystemExit) as ended:
        sweep_test.main([f"--parts={parts}"])
    assert ended.value.code == 2
    assert f"--parts: expected some of kill,ray, received {parts}" in capsys.readouterr().err
