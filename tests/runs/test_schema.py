"""What a run writes has exactly the keys of its typed records."""

import json

import pytest

from rethink_tf.config import run_config
from rethink_tf.config.run_config import RunConfig
from rethink_tf.runs import results, schema
from rethink_tf.training import run as train


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory, tensorflow):
    """A finished run on 60 digits."""
    folder = tmp_path_factory.mktemp("run")
    fields = {"model": "mlp_1x512", "dataset": "digits", "examples": 60, "epochs": 2}
    config = run_config.resolve(RunConfig(**fields, corrupt=0.5, eval_every=2))
    train.run(config, folder, argv=[], say=lambda _: None)
    return folder


def keys(record):
    return {name for name, _, _ in schema.described(record)}


def test_config_and_summary_have_exactly_the_keys_of_their_records(run_dir):
    config = json.loads((run_dir / results.CONFIG).read_text())
    summary = json.loads((run_dir / results.SUMMARY).read_text())
    assert set(config) == keys(schema.ConfigRecord) - {"resumed"}  # of a resumed run alone
    assert set(summary) == keys(schema.Summary)
    assert set(summary["timing"]) == keys(schema.RunTiming)
    for record in (config, summary):
        assert all(set(check) == keys(schema.CheckRecord) for check in record["audit"])
        assert {name: set(seal) for name, seal in record["seals"].items()} == {
            "train": keys(schema.SealRecord),
            "test": keys(schema.SealRecord),
        }


def test_every_line_of_the_history_has_exactly_the_keys_of_its_record(run_dir):
    lines = [json.loads(line) for line in (run_dir / results.HISTORY).read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    for line in lines:
        assert set(line) == keys(schema.HistoryLine)
        assert set(line["timing"]) == keys(schema.EpochTiming)
    exact = {name for name, _, _ in schema.described(schema.ExactValues)}
    assert {name for name in exact if lines[0][name] is not None} == set()
    missing = {name for name in exact if lines[1][name] is None}
    assert missing == set()


def test_the_records_that_a_resume_compares_are_among_those_of_config_json():
    assert keys(schema.Environment) <= keys(schema.ConfigRecord)
    assert {*schema.NUMBERS, *schema.LATER_NUMBERS} <= keys(schema.Summary)


def test_a_key_has_its_type_and_its_meaning():
    described = {name: (kind, meaning) for name, kind, meaning in schema.described(schema.Facts)}
    assert described["classes"] == (int, "number of classes")
    resumed = [kind for name, kind, _ in schema.described(schema.ConfigRecord) if name == "resumed"]
    assert resumed == [list[dict]] or "list" in str(resumed[0])
