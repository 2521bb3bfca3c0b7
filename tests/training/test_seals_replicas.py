"""Seals on two replicas: the honest run is done; one replica's altered table is refused."""

import json
from dataclasses import replace

import pytest
from own_process import found_by

pytestmark = pytest.mark.slow
# Batches of 15 are split 7 and 8, the rest of 10 evenly.
SMALL = {"model": "alexnet", "dataset": "digits", "examples": 100, "batch_size": 15, "epochs": 1}
SMALL |= {"corrupt": 0.5, "input_size": 12, "augment": "crop"}
DEFECTS = {
    "train images": lambda table: replace(table, images=255 - table.images),
    "train labels": lambda table: replace(table, given=table.true),
    "test images": lambda table: replace(table, images=table.images[::-1].copy()),
    "test labels": lambda table: replace(table, given=(table.given + 1) % 10),
}


def on_two_replicas(folder):
    """Runs in a process of its own, which has two logical CPUs (the fixture starts it)."""
    import keras

    from rethink_tf.config import run_config
    from rethink_tf.config.flags import Options
    from rethink_tf.errors import AuditError
    from rethink_tf.training import run as train
    from rethink_tf.training import trainer
    from rethink_tf.training.devices import setup as devices
    from rethink_tf.training.evaluation import Evaluation
    from rethink_tf.training.recording import samples
    from rethink_tf.training.train_step import Steps

    devices.start(1, devices=2)
    mirrored = devices.strategy("mirrored")
    devices.strategy = lambda *_: mirrored  # a second one would get the keys of the first
    samples.record_samples = lambda *_: None

    def model(config, channels, num_classes):
        keras.utils.set_random_seed(0)
        inputs = keras.Input([config.input_size, config.input_size, channels])
        outputs = keras.layers.Dense(num_classes)(keras.layers.Flatten()(inputs))
        return keras.Model(inputs, outputs)

    trainer.build_model = model
    wanted = run_config.resolve(run_config.RunConfig(**SMALL))

    def ending(name):
        options = Options(strategy="mirrored", threads=1)
        try:
            return train.run(wanted, folder / name, options=options, say=[].append)["status"]
        except AuditError as error:
            return str(error)

    evaluate = Evaluation.evaluate

    def in_small_batches(self, *args, **kinds):  # or the first replica had all test examples
        return evaluate(self, *args, batch=50, **kinds)

    Evaluation.evaluate = in_small_batches
    found = {"honest": ending("honest")}
    place = Steps.place
    for name, change in DEFECTS.items():

        def wrong(self, table, name=name, change=change):
            if (table is self.train) != name.startswith("train"):
                return place(self, table)
            columns = []
            for good, bad in zip(place(self, table), place(self, change(table)), strict=True):
                own = [self.strategy.experimental_local_results(v) for v in (good, bad)]

                def on(context, own=own):
                    replica = context.replica_id_in_sync_group
                    return own[replica][replica]  # the second one has the altered table

                columns.append(self.strategy.experimental_distribute_values_from_function(on))
            return tuple(columns)

        Steps.place = wrong
        found[name] = ending(name)
    print(json.dumps(found))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return found_by("on_two_replicas", __file__, tmp_path_factory.mktemp("replicas"))


def test_the_honest_run_is_done(found):
    assert found["honest"] == "DONE"


@pytest.mark.parametrize("seal", DEFECTS)
def test_one_replicas_altered_table_is_refused(found, seal):
    assert found[seal].startswith("INVALID: ") and found[seal].endswith(f"(seal: {seal})")
