"""A lack of memory is named as such, with its stage: before, in or after the training."""

import types

import pytest

from rethink_tf.config import run_config
from rethink_tf.errors import RequestError
from rethink_tf.training import run as train

CONFIG = run_config.resolve(run_config.RunConfig(model="mlp_1x512", dataset="digits"))


@pytest.fixture
def failing(monkeypatch, tensorflow):
    """A run that raises in a stage: `before`, `train_epochs`, `audit_predictions` or `finish`."""
    from rethink_tf.training import trainer

    def run(error, stage):
        def failing_stage(*_):
            raise error

        def whole(*_, **__):
            if stage != "before":
                getattr(trainer, stage)()
            raise error

        if stage != "before":
            monkeypatch.setattr(trainer, stage, failing_stage)
        monkeypatch.setattr(trainer, "train", whole)
        started = types.SimpleNamespace(workers=types.SimpleNamespace(count=1))
        train._train(CONFIG, None, None, None, None, None, started)

    return run


def exhausted(tensorflow, text):
    return tensorflow.errors.ResourceExhaustedError(None, None, text)


TEXTS = ("OOM when allocating tensor with shape[4]", "Out of memory while trying to allocate 8")


@pytest.mark.parametrize("text", [None, *TEXTS])
def test_a_step_that_does_not_fit_and_data_that_do_not(text, failing, tensorflow):
    def error():
        return MemoryError() if text is None else exhausted(tensorflow, text)

    with pytest.raises(RequestError, match="^--examples: the model and the data do not fit into m"):
        failing(error(), "before")
    with pytest.raises(RequestError, match="^--batch_size: 32 examples a step do not fit into me"):
        failing(error(), "train_epochs")


@pytest.mark.parametrize("stage", ["audit_predictions", "finish"])
def test_what_comes_after_the_last_epoch_is_not_blamed_on_its_start(stage, failing, tensorflow):
    with pytest.raises(RequestError, match="after the last epoch"):
        failing(MemoryError(), stage)


@pytest.mark.parametrize("text", ["/a/b; No space left on device", "Too many open files"])
@pytest.mark.parametrize("stage", ["before", "train_epochs", "finish"])
def test_what_is_no_lack_of_memory_is_not_called_one(text, stage, failing, tensorflow):
    with pytest.raises(tensorflow.errors.ResourceExhaustedError):
        failing(exhausted(tensorflow, text), stage)
