"""A lack of memory is named as such, with its stage: before, in or after the training."""

import pytest

from rethink_tf.config import run_config
from rethink_tf.config.run_config import RunConfig
from rethink_tf.errors import RequestError
from rethink_tf.training import run as train

BEFORE = "^--examples: the model and the data do not fit into memory, before the first step"
STEP = "^--batch_size: 40 examples a step do not fit into memory"
EVALUATION = "^--examples: an evaluation does not fit into memory"
RECORDS = "^--examples: the test set and the records of an epoch do not fit into memory"
AFTER = "^--examples: .* after the last epoch"
# Where memory is wanting, and what is said.
PLACES = {
    "rethink_tf.training.trainer.prepare_data": BEFORE,
    "rethink_tf.training.trainer.build": BEFORE,
    "rethink_tf.training.train_step.Steps.advance": STEP,
    "rethink_tf.training.evaluation.Evaluation.recalibrate": EVALUATION,
    "rethink_tf.training.evaluation.Evaluation._shown": EVALUATION,
    "rethink_tf.training.trainer.Checkpoints.on_epoch_end": RECORDS,
    "rethink_tf.audit.label_checks.after_training": AFTER,
    "rethink_tf.training.trainer.finish": AFTER,
}


@pytest.fixture
def failing(monkeypatch, tensorflow, tmp_path):
    """Runs an epoch on random labels that raises an error where a function is called."""
    import keras

    from rethink_tf.training import trainer
    from rethink_tf.training.recording import samples

    def model(config, channels, num_classes):
        inputs = keras.Input([config.input_size, config.input_size, channels])
        return keras.Model(inputs, keras.layers.Dense(num_classes)(keras.layers.Flatten()(inputs)))

    def run(error, place):
        def raised(*_, **__):
            raise error

        monkeypatch.setattr(trainer, "build_model", model)
        monkeypatch.setattr(samples, "record_samples", lambda *_: None)
        monkeypatch.setattr(place, raised)
        wanted = RunConfig("alexnet", "digits", examples=100, epochs=1, batch_size=40, corrupt=1.0)
        train.run(run_config.resolve(wanted), tmp_path, say=lambda _: None)

    return run


def exhausted(tensorflow, text):
    return tensorflow.errors.ResourceExhaustedError(None, None, text)


TEXTS = ("OOM when allocating tensor with shape[4]", "Out of memory while trying to allocate 8")


@pytest.mark.parametrize("place", PLACES)
def test_a_lack_of_memory_is_named_with_its_stage(place, failing):
    with pytest.raises(RequestError, match=PLACES[place]):
        failing(MemoryError(), place)


@pytest.mark.parametrize("text", TEXTS)
def test_tensorflow_s_words_for_it_are_known(text, failing, tensorflow):
    place = "rethink_tf.training.train_step.Steps.advance"
    with pytest.raises(RequestError, match=STEP):
        failing(exhausted(tensorflow, text), place)


@pytest.mark.parametrize("text", ["/a/b; No space left on device", "Too many open files"])
@pytest.mark.parametrize("stage", ["prepare_data", "train_epochs", "finish"])
def test_what_is_no_lack_of_memory_is_not_called_one(text, stage, failing, tensorflow):
    with pytest.raises(tensorflow.errors.ResourceExhaustedError):
        failing(exhausted(tensorflow, text), f"rethink_tf.training.trainer.{stage}")
