"""Memory is named where memory was wanting, and what did not fit: a step, or what comes before."""

import types

import pytest

from rethink_tf.config import run_config
from rethink_tf.errors import RequestError
from rethink_tf.training import run as train

CONFIG = run_config.resolve(run_config.RunConfig(model="mlp_1x512", dataset="digits"))


@pytest.fixture
def failing(monkeypatch, tensorflow):
    """A run whose training, or what comes before it, raises."""
    from rethink_tf.training import trainer

    def run(error, in_training):
        def train_epochs(_session):
            raise error

        def whole(*_, **__):
            if in_training:
                trainer.train_epochs(None)
            raise error

        monkeypatch.setattr(trainer, "train_epochs", train_epochs)
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

    with pytest.raises(RequestError, match="^--batch_size: 32 examples a step do not fit into me"):
        failing(error(), in_training=True)
    with pytest.raises(RequestError, match="^--examples: the model and the data do not fit into m"):
        failing(error(), in_training=False)


@pytest.mark.parametrize("text", ["/a/b; No space left on device", "Too many open files"])
@pytest.mark.parametrize("in_training", [True, False])
def test_what_is_no_lack_of_memory_is_not_called_one(text, in_training, failing, tensorflow):
    with pytest.raises(tensorflow.errors.ResourceExhaustedError):
        failing(exhausted(tensorflow, text), in_training)
