"""What kill_test.py counts as a fault, and what as a difference. It kills nothing here."""

import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import kill_test
import run_outcome
from kill_test import Kill

LAST = "rethink_tf: stopped in epoch 2, saved"


@pytest.mark.parametrize(
    "signum, after, epochs, code, answer, said, fault",
    [
        (signal.SIGKILL, 9, 1, -9, 0.1, "", None),
        (signal.SIGTERM, 9, 1, 143, 1.9, LAST, None),
        (signal.SIGINT, 9, 1, 130, 0.3, LAST, None),
        (signal.SIGTERM, 9, 1, 0, 0.3, "", None),
        (signal.SIGTERM, 1, 0, -15, 0.3, "", None),
        (signal.SIGTERM, 9, 1, -15, 0.3, "", "expected exit code 143: nothing on stderr"),
        (signal.SIGTERM, 9, 1, 143, 2.1, LAST, "expected an answer within 2 s"),
        (signal.SIGINT, 9, 1, 143, 0.1, LAST, f"expected exit code 130: {LAST}"),
        (signal.SIGTERM, 9, 1, 143, 0.1, "Traceback (most\n" + LAST, "a traceback"),
        (signal.SIGKILL, 9, None, 2, 0.0, "no data", "ended by itself: no data"),
    ],
)
def test_faults(signum, after, epochs, code, answer, said, fault):
    happened = Kill(signum, after, epochs, code, answer, said)
    assert happened.fault == fault
    assert ("FAULT" in str(happened)) is (fault is not None)


def test_a_finished_run_may_end_by_the_signal_itself():
    for finished, fault in ((True, None), (False, "expected exit code 143: nothing on stderr")):
        assert Kill(signal.SIGTERM, 9, 1, -15, 0.1, "", finished).fault == fault


def test_differences_are_named_with_both_values():
    one = {"weights hash": "a", "history": [1], "TensorBoard events": [1, 2]}
    assert run_outcome.differences(one, dict(one)) == []
    other = {"weights hash": "b", "history": [2], "TensorBoard events": [1]}
    assert run_outcome.differences(one, other) == [
        "weights hash a and b",
        "history",
        "TensorBoard events 2 and 1",
    ]


def test_the_outcome_of_a_run(tiny):
    found = run_outcome.outcome(tiny.run_dir)
    assert [line["epoch"] for line in found["history"]] == [1, 2]
    assert "timing" not in found["summary"] and len(found["weights hash"]) == 16
    counts = [e for e in found["TensorBoard events"] if e[:2] == ("train", "accuracy")]
    assert [step for *_, step, _ in counts] == [1, 2]
    assert counts[1][3] == pytest.approx(found["summary"]["train_accuracy"])


@pytest.mark.parametrize(
    "flag", ["--models=vgg", "--kills=0", "--signals=HUP", "--data_dir=none", "--epochs=x"]
)
def test_bad_usage_is_one_line(flag, capsys):
    with pytest.raises(SystemExit) as error:
        kill_test.main([flag])
    assert error.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
