"""MemorisationCallback: the record of a run, for anyone's model, data and `fit`."""

import dynamics
import numpy as np
import pytest

import rethink_tf as rt
from rethink_tf.errors import DivergedError, RequestError, StorageError
from rethink_tf.runs import results

N, FEATURES, CLASSES = 60, 5, 3
RNG = np.random.default_rng(0)
TRUE = np.arange(N) % CLASSES
X = (RNG.normal(size=(N, FEATURES)) + 2 * np.eye(FEATURES)[TRUE]).astype(np.float32)
GIVEN = np.where(np.arange(N) % 5 == 0, (TRUE + 1) % CLASSES, TRUE)


@pytest.fixture
def keras(tensorflow):
    import keras

    keras.utils.set_random_seed(0)
    return keras


def model_of(keras, activation="softmax", units=CLASSES, dropout=0.0, compiled=True):
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(16, "relu"), keras.layers.Dropout(dropout)]
    model = keras.Sequential(
        [keras.Input((FEATURES,)), *layers, keras.layers.Dense(units, activation)]
    )
    if compiled:
        logits = activation != "softmax"
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=logits)
        model.compile("adam", loss, metrics=["accuracy"])
    return model


def fit(model, memory, epochs=3, **more):
    return model.fit(
        X, GIVEN, epochs=epochs, batch_size=16, shuffle=False, verbose=0, callbacks=[memory], **more
    )


def equal(first, second, **tolerance):
    assert list(first) == list(second)
    for name, values in first.items():
        np.testing.assert_allclose(second[name], values, err_msg=name, **tolerance)


def test_it_is_the_record_of_a_run(tensorflow, offline):
    replay = dynamics.replayed(dynamics.train_run(offline))
    memory = rt.MemorisationCallback(replay.inputs, replay.table.given, replay.table.true)
    memory.set_model(replay.model)
    memory.on_train_begin()
    for epoch in range(dynamics.EPOCHS):
        replay.at(epoch + 1)
        memory.on_epoch_begin(epoch)
        memory.on_epoch_end(epoch)
    recorded = results.read_examples(replay.run_dir)
    found = memory.examples
    assert set(found) == set(recorded)
    for name, values in recorded.items():
        if name != "index":  # of the callback: positions
            np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-5, err_msg=name)
    for line, own in zip(results.read_history(replay.run_dir), memory.curves, strict=True):
        for key in ("train_accuracy", "clean_accuracy", "corrupted_original_accuracy"):
            assert own[key] == line[key], key
        assert own["train_loss"] == pytest.approx(line["train_loss"], rel=1e-5)


def test_measures_are_those_of_the_models_outputs(keras):
    model, seen = model_of(keras, "linear"), []
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(model(X).numpy().astype(np.float64))
    )
    memory = rt.MemorisationCallback(X, GIVEN, TRUE, batch_size=7)
    model.fit(X, GIVEN, epochs=3, verbose=0, callbacks=[memory, keep])
    expected = dynamics.by_definition(np.stack(seen), GIVEN, (1, 2))
    measures = {name: memory.examples[name] for name in expected}
    equal(expected, measures, rtol=1e-4, atol=1e-5)
    assert memory.record.evaluated_epochs.tolist() == [1, 2, 3]


def test_it_changes_nothing_of_the_training(keras):
    weights = []
    for callbacks in ([], [rt.MemorisationCallback(X, GIVEN)]):
        model = model_of(keras, dropout=0.5)
        model.fit(X, GIVEN, epochs=2, verbose=0, callbacks=callbacks)
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_probabilities_give_what_their_logits_give(keras):
    found = []
    for activation in ("softmax", "linear"):
        memory = rt.MemorisationCallback(X, GIVEN, TRUE)
        fit(model_of(keras, activation), memory)
        found.append(memory.examples)
    equal(*found, rtol=1e-3, atol=1e-4)


def test_one_unit_is_a_network_of_two_classes(keras):
    binary = GIVEN % 2
    found = []
    for activation in ("sigmoid", "linear"):
        model = model_of(keras, activation, units=1, compiled=False)
        loss = keras.losses.BinaryCrossentropy(from_logits=activation == "linear")
        model.compile("adam", loss)
        memory = rt.MemorisationCallback(X, binary)
        model.fit(X, binary, epochs=2, shuffle=False, verbose=0, callbacks=[memory])
        found.append(memory.examples)
    equal(*found, rtol=1e-3, atol=1e-4)
    value = model(X).numpy()[:, 0]
    np.testing.assert_allclose(found[1]["margin"], np.where(binary == 1, value, -value), rtol=1e-5)


def test_a_shuffled_dataset_with_indices_gives_what_arrays_give(tensorflow, keras):
    names = 100 + 3 * np.arange(N)
    data = tensorflow.data.Dataset.from_tensor_slices((X, GIVEN, names)).shuffle(N)
    found = []
    for arguments in ((X, GIVEN), (data.batch(7), None), (data, None)):
        memory = rt.MemorisationCallback(*arguments, TRUE)
        fit(model_of(keras), memory)
        found.append(memory.examples)
    assert found[1]["index"].tolist() == names.tolist()
    for other in found[1:]:
        equal(found[0], other | {"index": np.arange(N)}, rtol=1e-4, atol=1e-5)


def test_several_inputs(keras):
    left, right = keras.Input((2,), name="left"), keras.Input((3,), name="right")
    joined = keras.layers.Concatenate()([left, right])
    model = keras.Model(
        {"left": left, "right": right}, keras.layers.Dense(CLASSES, "softmax")(joined)
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    x = {"left": X[:, :2], "right": X[:, 2:]}
    memory = rt.MemorisationCallback(x, GIVEN, batch_size=7)
    model.fit(x, GIVEN, epochs=1, verbose=0, callbacks=[memory])
    outputs = model.predict(x, verbose=0)
    np.testing.assert_allclose(
        memory.examples["confidence"], outputs[np.arange(N), GIVEN], rtol=1e-5
    )


def test_every_and_the_last_epoch_are_evaluated(keras):
    memory = rt.MemorisationCallback(X, GIVEN, every=2)
    fit(model_of(keras), memory, epochs=5, validation_data=(X, TRUE))
    assert [line["epoch"] for line in memory.curves] == [2, 4, 5]
    assert set(memory.curves[0]) == {"epoch", "train_loss", "train_accuracy", "test_accuracy"}
    assert "true" not in memory.examples


@pytest.mark.parametrize("ahead", [0, 1])
def test_a_resumed_fit_continues_the_record(keras, tmp_path, ahead):
    """Also where the record is an epoch ahead of the saved weights."""
    whole = rt.MemorisationCallback(X, GIVEN, TRUE)
    fit(model_of(keras), whole, epochs=5)

    path, saved = tmp_path / "memory", {}
    model = model_of(keras)
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: saved.update(
            {epoch + 1: [v.numpy() for v in (*model.variables, *model.optimizer.variables)]}
        )
    )
    first = rt.MemorisationCallback(X, GIVEN, TRUE, path=path)
    model.fit(
        X, GIVEN, epochs=3 + ahead, batch_size=16, shuffle=False, verbose=0, callbacks=[first, keep]
    )
    again = model_of(keras)
    again.optimizer.build(again.trainable_variables)
    variables = (*again.variables, *again.optimizer.variables)
    for variable, value in zip(variables, saved[3], strict=True):
        variable.assign(value)
    second = rt.MemorisationCallback(X, GIVEN, TRUE, path=path)
    fit(again, second, epochs=5, initial_epoch=3)
    assert second.record.complete
    assert [line["epoch"] for line in second.curves] == [1, 2, 3, 4, 5]
    equal(whole.examples, second.examples, rtol=1e-5, atol=1e-6)


def test_the_saved_record_is_taken_back_exactly(keras, tmp_path):
    first = rt.MemorisationCallback(X, GIVEN, path=tmp_path / "memory")
    fit(model_of(keras), first)
    second = rt.MemorisationCallback(X, GIVEN, path=tmp_path / "memory")
    second.set_model(model_of(keras))
    second.on_train_begin()
    equal(first.record.arrays(), second.record.arrays(), rtol=0)
    assert second.curves == first.curves


def test_a_fit_from_before_the_record_is_refused(keras, tmp_path):
    path = tmp_path / "memory"
    memory = rt.MemorisationCallback(X, GIVEN, path=path)
    model = model_of(keras)
    fit(model, memory)
    with pytest.raises(
        RequestError, match="up to epoch 3, .*begins at epoch 1; .*initial_epoch=3.*another path"
    ):
        fit(model, rt.MemorisationCallback(X, GIVEN, path=path))
    with pytest.raises(RequestError, match=r"this callback holds|memory holds"):
        fit(model, memory)


def test_a_second_fit_from_the_first_epoch_is_refused_also_after_one_epoch(keras):
    """The weights are those of its end: a new record would be of other epochs than it says."""
    memory, model = rt.MemorisationCallback(X, GIVEN), model_of(keras)
    fit(model, memory, epochs=1)
    with pytest.raises(RequestError, match="up to epoch 1, .*begins at epoch 1; .*initial_epoch=1"):
        fit(model, memory, epochs=1)
    fit(model, memory, epochs=2, initial_epoch=1)
    assert memory.record.evaluated_epochs.tolist() == [1, 2] and memory.record.complete


def test_epochs_without_a_record_make_it_incomplete(keras, capsys):
    memory = rt.MemorisationCallback(X, GIVEN)
    fit(model_of(keras), memory, epochs=4, initial_epoch=2)
    assert not memory.scores.complete and memory.record.evaluated_epochs.tolist() == [3, 4]
    assert "epoch 2 was not recorded" in capsys.readouterr().err
    assert "Incomplete" in memory._repr_html_()


def test_a_damaged_record_and_one_of_other_labels_are_refused(keras, tmp_path):
    path = tmp_path / "memory"
    path.write_bytes(b"no record")
    with pytest.raises(StorageError, match="no record of a MemorisationCallback"):
        fit(model_of(keras), rt.MemorisationCallback(X, GIVEN, path=path))
    path.unlink()
    fit(model_of(keras), rt.MemorisationCallback(X, GIVEN, path=path), epochs=1)
    with pytest.raises(RequestError, match="found a record of other ones; type another path"):
        fit(model_of(keras), rt.MemorisationCallback(X, TRUE, path=path))


def test_outputs_that_do_not_tell_are_refused(keras):
    memory = rt.MemorisationCallback(X, GIVEN)
    for activation, words in (("relu", "does not show"), ("sigmoid", "ends in sigmoid of 3 units")):
        with pytest.raises(RequestError, match=f"from_logits: .* {words}.*from_logits=True or"):
            fit(model_of(keras, activation), memory)

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(CLASSES)

        def call(self, x):
            return self.dense(x)

    model = Own()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(RequestError, match="show its last activation"):
        fit(model, rt.MemorisationCallback(X, GIVEN))
    told = rt.MemorisationCallback(X, GIVEN, from_logits=True)
    fit(model, told)
    assert np.isfinite(told.examples["aum"]).all()


def test_wrong_claims_about_outputs_are_refused(keras):
    with pytest.raises(
        RequestError, match="from_logits: expected logits, received .* probabilities"
    ):
        fit(model_of(keras), rt.MemorisationCallback(X, GIVEN, from_logits=True))
    with pytest.raises(RequestError, match="expected probabilities, .*type from_logits=True"):
        fit(model_of(keras, "linear"), rt.MemorisationCallback(X, GIVEN, from_logits=False))


def test_rounded_probabilities_behind_a_linear_layer_are_no_logits(keras):
    inputs = keras.Input((FEATURES,))
    half = keras.layers.Dense(CLASSES, "softmax", dtype="bfloat16")(inputs)
    model = keras.Model(inputs, keras.layers.Activation("linear", dtype="float32")(half))
    model.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(
        RequestError, match="from_logits: expected logits, received .* probabilities"
    ):
        fit(model, rt.MemorisationCallback(X, GIVEN))


def test_other_outputs_are_refused(keras):
    more = np.where(np.arange(N) == 0, CLASSES, GIVEN)
    with pytest.raises(RequestError, match="y: expected classes 0 to 2, .*found 3"):
        fit(model_of(keras), rt.MemorisationCallback(X, more))
    inputs = keras.Input((FEATURES,))
    dense = keras.layers.Dense(CLASSES, "softmax")
    two = keras.Model(inputs, [dense(inputs), keras.layers.Dense(2, "softmax")(inputs)])
    memory = rt.MemorisationCallback(X, GIVEN, from_logits=False)
    memory.set_model(two)
    memory.on_train_begin()
    memory.on_epoch_begin(0)
    with pytest.raises(RequestError, match=r"one output .* received \[60, 3\] and \[60, 2\]"):
        memory.on_epoch_end(0)


def test_nan_is_named(keras):
    model = model_of(keras, "linear")
    model.layers[-1].bias.assign([0, np.nan, 0])
    memory = rt.MemorisationCallback(X, GIVEN)
    with pytest.raises(DivergedError, match="after epoch 1 are NaN"):
        fit(model, memory)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda tf: ((X, None), {}), "y: expected the labels"),
        (lambda tf: ((X[:-1], GIVEN), {}), "x: expected arrays of 60 rows"),
        (lambda tf: ((X, GIVEN, TRUE[:-1]), {}), "true: expected 60 labels"),
        (lambda tf: ((X, GIVEN), {"every": 0}), "every: expected a whole"),
        (lambda tf: ((X, GIVEN), {"batch_size": 1.5}), "batch_size: expected a whole number"),
        (lambda tf: ((tf.data.Dataset.from_tensor_slices((X, GIVEN)),), {}), r"\(x, y, index\)"),
        (
            lambda tf: ((tf.data.Dataset.from_tensor_slices((X, GIVEN, TRUE)),), {}),
            "expected every index once",
        ),
        (
            lambda tf: (
                (tf.data.Dataset.from_tensor_slices((X, GIVEN, {"index": np.arange(N)})),),
                {},
            ),
            "index dense tensors",
        ),
        (
            lambda tf: ((tf.data.Dataset.from_tensor_slices((X, GIVEN, X[:, 0])),), {}),
            "expected an integer index",
        ),
        (
            lambda tf: (
                (tf.data.Dataset.from_tensor_slices((X, GIVEN, np.arange(N))).repeat(),),
                {},
            ),
            "expected a finite",
        ),
        (
            lambda tf: (
                (tf.data.Dataset.from_tensor_slices((X, GIVEN, np.arange(N))), GIVEN),
                {},
            ),
            "y: expected None",
        ),
    ],
)
def test_wrong_arguments_are_refused(tensorflow, make, match):
    arguments, more = make(tensorflow)
    with pytest.raises(RequestError, match=match):
        rt.MemorisationCallback(*arguments, **more)


def test_a_dataset_that_changes_is_refused(tensorflow, keras):
    data = tensorflow.data.Dataset.from_tensor_slices((X, GIVEN, np.arange(N)))
    memory = rt.MemorisationCallback(data)
    memory._data.data = data.take(50).batch(10)
    with pytest.raises(RequestError, match="received index 50 0 times in epoch 1"):
        fit(model_of(keras), memory)


def test_it_shows_itself_and_writes_a_page(keras, tmp_path):
    memory = rt.MemorisationCallback(X, GIVEN, TRUE, class_names=["a", "<b>", "c"])
    assert "none evaluated" in memory._repr_html_()
    with pytest.raises(RequestError, match="expected an evaluated epoch"):
        memory.page(tmp_path)
    fit(model_of(keras), memory)
    shown = memory._repr_html_()
    assert "ROC AUC" in shown and shown.count("data:image/png") == 2
    page = memory.page(tmp_path / "page", count=5)
    text = (tmp_path / "page" / "examples.html").read_text()
    assert page == str(tmp_path / "page" / "examples.html")
    assert "&lt;b&gt;" in text and "<b>" not in text
    assert f"<td>{memory.examples['aum'].argmin()}</td>" in text


def test_images_are_shown_from_arrays_and_from_a_dataset(tensorflow, keras, tmp_path):
    images = np.abs(np.repeat(X[:, :, None], 4, axis=2))[..., None]
    model = keras.Sequential(
        [keras.Input((FEATURES, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    names = np.arange(N)[::-1]
    data = tensorflow.data.Dataset.from_tensor_slices((images, GIVEN, names)).batch(7)
    pages = []
    for arguments in ((images[::-1], GIVEN[::-1], TRUE[::-1]), (data, None, TRUE[::-1])):
        model.set_weights([np.ones_like(w) for w in model.get_weights()])
        memory = rt.MemorisationCallback(*arguments)
        memory.set_model(model)
        memory.on_train_begin()
        memory.on_epoch_begin(0)
        memory.on_epoch_end(0)
        memory.page(tmp_path, count=4)
        pages.append((tmp_path / "examples.html").read_text())
    assert pages[0] == pages[1] and pages[0].count("<img ") >= 12
