"""The walk over the layers of a model that holds layers within layers."""

import pytest

from rethink_tf.models import nested


@pytest.fixture(scope="module")
def block():
    import keras

    class Block(keras.layers.Layer):
        """Layers in attributes, in a list, a dict and a tuple; one of them stands there twice."""

        def __init__(self, inner=None):
            super().__init__()
            self.first = keras.layers.Dense(3)
            self.listed = [keras.layers.Dense(3), keras.layers.BatchNormalization()]
            self.named = {"relu": keras.layers.ReLU(), "more": [keras.layers.Dense(3)]}
            self.paired = (keras.layers.Dense(3), self.first)
            self.inner = inner

        def call(self, x):
            for layer in (self.first, *self.listed, *self.named["more"], self.paired[0]):
                x = layer(x)
            return x if self.inner is None else self.inner(x)

    return Block


def own(block):
    return [block.first, *block.listed, block.named["relu"], *block.named["more"], block.paired[0]]


@pytest.mark.parametrize("kind", ["functional", "sequential", "subclassed"])
def test_each_layer_stands_once_and_before_those_within_it(block, kind):
    import keras

    inner = block()
    outer, last = block(inner), keras.layers.Dense(2)
    if kind == "functional":
        given = keras.Input((3,))
        model = keras.Model(given, last(outer(given)))
    elif kind == "sequential":
        model = keras.Sequential([keras.Input((3,)), outer, last])
    else:

        class Model(keras.Model):
            def __init__(self):
                super().__init__()
                self.parts = [outer, last]

            def call(self, x):
                return last(outer(x))

        model = Model()
        model(keras.ops.zeros((1, 3)))
    found = [x for x in nested.layers_of(model) if not isinstance(x, keras.layers.InputLayer)]
    expected = [outer, inner, *reversed(own(inner)), *reversed(own(outer)), last]
    assert list(map(id, found)) == list(map(id, expected))


def test_layers_of_models_within_models_and_wrappers():
    import keras

    dense, cell = keras.layers.Dense(4), keras.layers.LSTM(4)
    within = keras.Sequential(
        [keras.layers.TimeDistributed(dense), keras.layers.Bidirectional(cell)]
    )
    given = keras.Input((5, 3))
    model = keras.Model(given, within(given))
    found = nested.layers_of(model)
    assert len(set(map(id, found))) == len(found)
    kinds = [type(layer).__name__ for layer in found]
    assert kinds == [
        "InputLayer",
        "Sequential",
        "Bidirectional",
        "LSTM",
        "LSTMCell",
        "LSTM",
        "LSTMCell",
        "TimeDistributed",
        "Dense",
    ]


def test_every_variable_of_a_network_is_in_a_layer_of_it():
    from rethink_tf import models

    model = models.build("wrn_28_1", (8, 8, 3), 10)
    held = [v for layer in models.layers_of(model) for v in layer.weights]
    assert {id(v) for v in model.weights} == {id(v) for v in held}
