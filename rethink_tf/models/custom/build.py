"""Builds a user's network, checks it, and makes it return logits.

Every model starts from weights drawn anew by the run's seed: a test of capacity must not
depend on earlier training. Importing this module loads no TensorFlow.
"""

import difflib
import functools
import importlib.machinery
import importlib.util
import inspect
import sys

import numpy as np

from rethink_tf.errors import RequestError
from rethink_tf.models.custom import (
    applications,
    keras_file,
    last_activation,
    rescaling,
    user_code,
)
from rethink_tf.models.custom import name as custom_models
from rethink_tf.narrowing import present
from rethink_tf.storage import content_hash, paths

PROBE = 8
SMALLEST = 1e-30  # smallest probability whose logarithm is taken

_imported: dict[str, str] = {}  # module: hash of the source that was imported


def build(
    spec: str,
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    weight_decay: float = 0.0,
    dropout: float = 0.0,
    precision: str = "float32",
):
    """The named network, checked, from images [B, H, W, C] to float32 logits [B, num_classes].

    Args:
        spec: resolved.
        input_shape, num_classes, weight_decay, dropout: see `models.build`; the last two are
            refused where they are not 0 and the model does not take them.
        precision: the dtype policy in force; a FILE.keras brings its own, so float32 only.

    Returns:
        A keras.Model; its `rethink_conversions` lists what was changed in it, `rethink_scaling`
        is how it scales its images itself, or None.

    Raises:
        RequestError: it is not what a run needs; says what was expected and what came.
    """
    if applications.is_application(spec):
        settings = {"weight_decay": weight_decay, "dropout": dropout}
        return applications.build(spec, input_shape, num_classes, **settings)
    ref = content_hash.ContentRef.parse(spec)
    name, known = ref.path, ref.sha256
    if custom_models.content_hash(name) != known:
        raise RequestError(f"--model={name}: its content changed since it was named")
    if name.endswith(".keras"):
        for flag, value in (("weight_decay", weight_decay), ("dropout", dropout)):
            if value:
                raise RequestError(f"--{flag}: {name} has its own; type --{flag}=0")
        if precision != "float32":
            raise RequestError(f"--precision: {name} has its own; type --precision=float32")
        model, notes = keras_file.read(str(paths.absolute(name)))
    else:
        settings = {"weight_decay": weight_decay, "dropout": dropout}
        model = _from_function(name, known, input_shape, num_classes, settings)
        notes = [f"{name}: initial weights drawn by the function"]
    model, outputs, more = _outputs(model, name, input_shape, num_classes)
    notes += more
    scaling = rescaling.own_scaling(model, input_shape)
    model, more = _as_logits(model, outputs, input_shape, name)
    if not model.trainable_variables:
        raise RequestError(f"--model: expected weights to train, {name} has none")
    kinds = {str(v.dtype) for v in model.trainable_variables} - {"float32"}
    if kinds:
        raise RequestError(
            f"--model: expected weights in float32, {name} has {', '.join(sorted(kinds))}; for "
            "lower precision in the layers type --precision=mixed_bfloat16"
        )
    # Long names, since a custom class may have an attribute called `scaling`.
    model.rethink_conversions, model.rethink_scaling = "; ".join([*notes, *more]), scaling
    return model


def _from_function(name, known, input_shape, num_classes, settings):
    import keras

    module_name, _, function_name = name.partition(":")
    path = custom_models.module_spec(module_name).origin
    with user_code.reported(f"--model={name}: ", path):
        module = _loaded(module_name, known)
    function = getattr(module, function_name, None)
    if not callable(function):
        functions = [n for n, value in vars(module).items() if inspect.isfunction(value)]
        near = difflib.get_close_matches(function_name, functions, n=1, cutoff=0.6)
        hint = f"; did you mean --model={module_name}:{near[0]}?" if near else ""
        there = f"--model: expected a function {function_name} in {module.__file__}"
        raise RequestError(f"{there}{hint}")
    takes = inspect.signature(function).parameters
    any_name = any(p.kind is p.VAR_KEYWORD for p in takes.values())
    for flag, value in settings.items():
        if value and flag not in takes and not any_name:
            raise RequestError(f"--{flag}: {name} takes no {flag}; type --{flag}=0")
    settings = {flag: value for flag, value in settings.items() if flag in takes or any_name}
    try:
        inspect.signature(function).bind(input_shape, num_classes, **settings)
    except TypeError:
        raise RequestError(
            f"--model: expected a function of (input_shape, num_classes), {name} takes "
            f"({', '.join(takes)})"
        ) from None
    with user_code.reported(f"--model={name}: ", path):
        model = function(input_shape, num_classes, **settings)
    if not isinstance(model, keras.Model):
        raise RequestError(
            f"--model: expected a keras.Model from {name}, received {type(model).__name__}"
        )
    return model


class _FromSource(importlib.machinery.SourceFileLoader):
    """Runs the source as it is: compiled files are told apart by whole seconds and size only."""

    def get_code(self, fullname):
        return self.source_to_code(self.get_data(self.path), self.path)


def _loaded(name: str, known: str):
    """The module whose source has this hash; one that was imported of another is replaced."""
    before = sys.modules.get(name)
    if before is not None and _imported.get(name) == known:
        return before
    module_spec = custom_models.module_spec(name)
    origin = present(module_spec.origin, f"the source file of {name}")
    loader = _FromSource(name, origin)
    spec = present(
        importlib.util.spec_from_file_location(
            name,
            origin,
            loader=loader,
            submodule_search_locations=module_spec.submodule_search_locations,
        ),
        f"a specification of {name}",
    )
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before
        raise
    _imported[name] = known
    return module


def _outputs(model, name: str, input_shape, num_classes: int):
    """The model with one tensor as its output, what it says of a few standardised images of noise,
    and what was done in words; refuses what is not [B, K]."""
    is_file = name.endswith(".keras")
    path = None if is_file else custom_models.module_spec(name.partition(":")[0]).origin
    inputs = getattr(model, "inputs", None)
    if inputs is not None and len(inputs) != 1:
        raise RequestError(f"--model: expected one input, images; {name} takes {len(inputs)}")
    if inputs is not None:
        shape = tuple(inputs[0].shape[1:])
        same = len(shape) == 3 and all(
            a in (None, b) for a, b in zip(shape, input_shape, strict=True)
        )
        if not same:
            hint = ""
            if len(shape) == 3 and shape[2] == input_shape[2] and shape[0] == shape[1]:
                hint = f"; type --input_size={shape[0]} if the images are that large"
            raise RequestError(
                f"--model: expected an input of {_by(input_shape)}, the images of this run; "
                f"{name} takes {_by(shape)}{hint}"
            )
    with user_code.reported(f"--model: {name} fails on images of {_by(input_shape)}: ", path):
        outputs = model(_noise(input_shape), training=False)
    _trace(model, name, input_shape, path)
    model, outputs, notes = _single(model, outputs, name, input_shape)
    if tuple(outputs.shape) != (PROBE, num_classes):
        raise RequestError(
            f"--model: expected {num_classes} outputs, one for each class; {name} gives "
            f"{_by(outputs.shape[1:])}"
        )
    return model, outputs, notes


def _single(model, outputs, name: str, input_shape):
    """The model, its output and a note, where it gives one tensor, if need be out of a dict."""
    import keras

    wanted = f"--model: expected one output, a tensor of logits [batch, classes]; {name} gives"
    if isinstance(outputs, dict | list | tuple):
        keys = [str(key) for key in outputs] if isinstance(outputs, dict) else []
        kind = type(outputs).__name__
        named = f": {', '.join(keys)}" if keys else ""
        flat = keras.tree.flatten(outputs)
        if len(flat) != 1:
            raise RequestError(f"{wanted} {len(flat)} in a {kind}{named}")
        if getattr(model, "outputs", None):
            model = keras.Model(model.inputs[0], model.outputs[0])
        else:
            model = _wrapped(model, lambda outputs: keras.tree.flatten(outputs)[0], input_shape)
        (outputs,) = flat
        notes = [f"its only output is inside a {kind}{named}; this output is used"]
    else:
        notes = []
    if not keras.ops.is_tensor(outputs):
        raise RequestError(f"{wanted} {type(outputs).__name__}")
    return model, outputs, notes


def _trace(model, name: str, input_shape, path: str | None) -> None:
    """Refuses what fails as it is called in training, compiled; nothing is computed."""
    import tensorflow as tf

    if tf.distribute.get_strategy().num_replicas_in_sync > 1:
        return  # batch-norm statistics can be updated only within a replica
    called = tf.function(lambda images: model(images, training=True), autograph=False)
    with user_code.reported(f"--model: {name} fails in training, compiled by tf.function: ", path):
        called.get_concrete_function(tf.TensorSpec((PROBE, *input_shape), tf.float32))


def _by(shape) -> str:
    return "x".join("any" if n is None else str(n) for n in shape) or "a single number"


def _noise(input_shape) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((PROBE, *input_shape)).astype(np.float32)


def _as_logits(model, outputs, input_shape, name: str):
    """The model up to its logits in float32, and what was done in words."""
    import keras

    noise = _noise(input_shape)
    removal = last_activation.removed(model, np.concatenate([noise, 3 * noise]), name)
    if removal is not None:
        model, kind = removal
        outputs = model(noise, training=False)
        notes = [f"its last activation, {kind}, is removed, so that it returns logits"]
    else:
        notes = ["its outputs are used as logits"]
    values = np.asarray(outputs, np.float32)
    inside = bool(((values >= 0) & (values <= 1)).all())
    float32 = functools.partial(keras.ops.cast, dtype="float32")

    def logarithm(probabilities):
        return keras.ops.log(keras.ops.maximum(float32(probabilities), SMALLEST))

    if inside and np.allclose(values.sum(axis=1), 1, atol=1e-3):
        notes = ["its outputs are probabilities (they sum to 1); their logarithm is used as logits"]
        return _wrapped(model, logarithm, input_shape), notes
    if inside:
        notes.append("although all of them are from 0 to 1")
    if keras.backend.standardize_dtype(outputs.dtype) != "float32":
        return _wrapped(model, float32, input_shape), notes
    return model, notes


def _wrapped(model, after, input_shape):
    import keras

    class Wrapped(keras.Model):
        """A model followed by a function of its output."""

        def __init__(self):
            super().__init__(dtype="float32")
            self.inner = model

        def call(self, images, training=None):
            return after(self.inner(images, training=training))

    wrapped = Wrapped()
    wrapped(_noise(input_shape))
    return wrapped
