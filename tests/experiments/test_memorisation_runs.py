"""`rethink-tf memorisation`: networks that are ordinary runs, kept one by one, added up."""

import contextlib
import io
import re

import numpy as np
import pytest

from rethink_tf.analysis import subset_networks
from rethink_tf.cli import app
from rethink_tf.config.run_config import RunConfig
from rethink_tf.errors import StorageError
from rethink_tf.experiments.studies import kept_networks, memorisation
from rethink_tf.runs import agreement, results

COMMON = ["--model=mlp_1x512", "--dataset=digits", "--epochs=2", "--threads=2", "--batch_size=256"]
SCORED = ["--models=5", "--share=0.6", "--corrupt=0.5"]


def called(folder, command, *more):
    """(exit code, what was printed) of a command whose runs lie in `folder`."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = app.main([command, *COMMON, f"--runs_dir={folder}", *more])
    return code, out.getvalue()


@pytest.fixture(scope="module")
def scored(tensorflow, tmp_path_factory):
    """The folder of runs of one whole command, what it printed, and the Steps it made."""
    from rethink_tf.training import trainer

    folder, made, real = tmp_path_factory.mktemp("scored"), [], trainer.build

    def build(*arguments, **more):
        made.append(real(*arguments, **more))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "build", build)
        code, out = called(folder, "memorisation", *SCORED)
    assert code == 0, out
    (run,) = folder.glob("memorisation-*")
    return run, out, [context.steps for context in made]


def kept(run):
    """The kept matrices, read by NumPy alone: trained, right [K, 1500], right on the test set."""
    networks = [np.load(path) for path in sorted(run.glob("networks/*.npz"))]
    columns = (("trained", 1500), ("right", 1500), ("test_right", 297))
    return [
        np.stack([np.unpackbits(network[name])[:count] for network in networks]).astype(bool)
        for name, count in columns
    ]


def test_numpy_recomputes_the_scores_from_what_is_kept(scored):
    run, out, _ = scored
    trained, right, _ = kept(run)
    assert (trained.sum(axis=1) == 900).all() and len(np.unique(trained, axis=0)) == 5
    found = np.load(run / memorisation.SCORES)
    some = np.flatnonzero((trained.sum(axis=0) > 0) & (trained.sum(axis=0) < 5))
    for i in some[::50]:
        inside, outside = right[trained[:, i], i].mean(), right[~trained[:, i], i].mean()
        assert found["score"][i] == pytest.approx(inside - outside)
    assert np.isfinite(found["score"]).sum() == len(some) < 1500
    summary = results.read_summary(run)
    noisy = found["given"] != found["true"]
    assert summary["score"]["noisy"] == pytest.approx(found["score"][some][noisy[some]].mean())
    assert summary["train_accuracy"] == pytest.approx(right[trained].mean())
    assert summary["other_accuracy"] == pytest.approx(right[~trained].mean())
    assert f"{1500 - len(some)} examples have no score" in out
    for name in ("scores.png", "most_memorised.png"):
        assert (run / name).stat().st_size > 1000


def test_all_networks_are_compiled_once(scored):
    (steps,) = scored[2]
    assert steps._many.experimental_get_tracing_count() == 1
    assert steps._last.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("number", [0, 2, 4])
def test_a_network_is_the_ordinary_run_on_its_part(scored, number, tmp_path, own_signals):
    labels = tmp_path / "labels.npz"
    noise = ["--dataset=digits", "--corrupt=0.5", f"--export={labels}"]
    with contextlib.redirect_stdout(io.StringIO()):
        assert app.main(["noise", *noise]) == 0
    own = [f"--seed={subset_networks.seed_of(0, number)}", "--examples=900"]
    code, out = called(tmp_path, "train", *own, f"--labels_from={labels}")
    assert code == 0, out
    (ordinary,) = map(results.read_summary, tmp_path.glob("mlp_1x512-*"))
    network = results.read_summary(scored[0])["networks"][number]
    assert ordinary["weights_hash"] == network["weights_hash"]
    examples = results.read_examples(next(tmp_path.glob("mlp_1x512-*")))
    index = np.load(scored[0] / memorisation.SCORES)["index"]
    np.testing.assert_array_equal(examples["index"], index[kept(scored[0])[0][number]])


def test_shards_interruptions_and_other_numbers_of_networks_add_up(
    scored, tmp_path, monkeypatch, own_signals
):
    real = subset_networks.Networks.train_each

    def interrupted(self, numbers, progress):
        for network in real(self, numbers, progress):
            yield network
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(subset_networks.Networks, "train_each", interrupted)
        code, out = called(tmp_path, "memorisation", *SCORED, "--shard=2/2")
    assert code == 130 and "1 network of 5 kept" in out
    code, out = called(tmp_path, "memorisation", *SCORED, "--shard=2/2")
    assert code == 0 and "2 networks on 900 of 1,500 examples each, 2 epochs; 1 kept" in out
    code, out = called(tmp_path, "memorisation", *SCORED, "--models=4")
    assert code == 0 and "2 kept before" in out
    code, out = called(tmp_path, "memorisation", *SCORED)
    assert code == 0 and "4 kept before" in out
    found, expected = (
        next(results.read_summary(run) for run in folder.glob("m*") if run.name == scored[0].name)
        for folder in (tmp_path, scored[0].parent)
    )
    assert found["networks"] == expected["networks"] and found["score"] == expected["score"]
    assert found["timing"]["trained_now"] == 1


def test_a_shard_of_a_finished_run_leaves_it_as_it_is(scored, own_signals):
    before = (scored[0] / results.CONFIG).read_bytes()
    code, out = called(scored[0].parent, "memorisation", *SCORED, "--shard=1/2")
    assert code == 0 and "shard 1/2: 3 networks of 5 kept" in out
    assert (scored[0] / results.CONFIG).read_bytes() == before
    assert agreement.read_summary(scored[0]) is not None


def test_a_damaged_network_is_named_and_one_of_other_data_too(scored, tmp_path, own_signals):
    run = tmp_path / scored[0].name
    (run / "networks").mkdir(parents=True)
    path = run / "networks" / "00001.npz"
    path.write_bytes((scored[0] / "networks" / "00001.npz").read_bytes()[:200])
    code, out = called(tmp_path, "memorisation", *SCORED)
    assert code == 6 and re.search(r"00001\.npz: .*found BadZipFile.*delete the file", out), out
    whole = dict(np.load(scored[0] / "networks" / "00001.npz"))
    np.savez(path, **whole | {"labels_hash": "0" * 16})
    code, out = called(tmp_path, "memorisation", *SCORED)
    assert code == 6 and "belongs to other data" in out


def test_a_copy_of_a_network_does_not_count_as_another(tmp_path):
    facts = {"labels_hash": "abc", "examples": 3, "test_examples": 2, "part": 1}
    part, right = np.array([True, False, False]), np.array([True, True, False])
    network = subset_networks.Network(2, 7, part, right, right[:2], 5, "def")
    for name in ("00002.npz", "00001.npz"):
        (tmp_path / name).write_bytes(kept_networks.packed(network, facts))
    found = kept_networks.read(tmp_path / "00002.npz", facts)
    assert found["number"] == 2 and found["right"].tolist() == right.tolist()
    with pytest.raises(StorageError, match="00001.npz: .*number 2; delete the file"):
        kept_networks.read(tmp_path / "00001.npz", facts)


@pytest.mark.parametrize(
    "more, message",
    [
        (["--shard=3/2"], "--shard: expected i/n, i from 1 to n, received 3/2"),
        (["--shard=0/2"], "--shard: expected i/n"),
        (["--share=1"], "--share: expected a number above 0.0 below 1.0"),
        (["--share=0.0001"], "--share: expected a part"),
        (["--pixels=random"], "--pixels: expected original"),
        (["--init_from=random"], "--init_from: expected none"),
        (["--models=3"], "--models: expected a whole"),
    ],
)
def test_what_cannot_be_meant_is_refused(more, message, tmp_path, own_signals, no_training):
    code, out = called(tmp_path, "memorisation", *more)
    assert code == 2 and out.startswith(f"rethink_tf: {message}"), out
    assert not list(tmp_path.iterdir())


def test_the_run_is_named_by_what_can_change_a_number():
    argv = [*COMMON, *SCORED]
    values, named = memorisation.identify(argv)
    assert (values["models"], values["share"]) == (5, 0.6)
    assert memorisation.identify([*argv, "--shard=1/2", "--threads=1"])[1] == named
    others = [["--models=6"], ["--share=0.5"], ["--seed=1"], ["--least_score=0.5"]]
    assert len({memorisation.identify([*argv, *more])[1] for more in others} | {named}) == 5


def test_seeds_of_networks_differ():
    seeds = {subset_networks.seed_of(seed, k) for seed in range(3) for k in range(1000)}
    assert len(seeds) == 3000 and all(0 <= seed < 2**32 for seed in seeds)
    own = subset_networks.member(RunConfig(seed=7), 2, 50)
    assert (own.seed, own.examples) == (subset_networks.seed_of(7, 2), 50)
