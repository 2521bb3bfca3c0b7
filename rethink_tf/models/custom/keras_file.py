"""FILE.keras, opened without running anything that came with it. Importing this loads no Keras."""

import json
import re
import zipfile

from rethink_tf.errors import RequestError

# Classes that run code of their own, or that of another file, when they are made or called.
_CODE = ("Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
# Of what frameworks write around an error: terminal codes, and the line that begins the error.
_CODES = re.compile(r"\x1b\[[0-9;]*m")
_KIND = re.compile(r"\w*(Error|Exception): ")


def first_line(error: BaseException) -> str:
    """What anyone's error says, cut to one line; what frameworks put before it is left out."""
    lines = [line.strip() for line in _CODES.sub("", str(error)).splitlines() if line.strip()]
    if lines[:1] == ["in user code:"]:  # AutoGraph's own traceback
        lines = lines[next((n for n, x in enumerate(lines) if _KIND.match(x)), 0) :]
    if len(lines) > 1 and "Exception encountered when calling" in lines[0]:  # Keras names the layer
        lines = [f"{lines[0]} {lines[1]}"]
    return (lines or [type(error).__name__])[0][:300]


def read(path: str):
    """The architecture of a .keras file with weights drawn anew, and what there is to say.

    Raises:
        RequestError: no such file, or it holds code.
    """
    import keras

    _refuse_code(path)
    try:
        stored = keras.saving.load_model(path, compile=False, safe_mode=True)
        model = keras.models.clone_model(stored)
    except Exception as error:  # Keras raises what its layers raise
        raise RequestError(f"--model={path}: cannot be opened: {first_line(error)}") from None
    notes = [f"{path}: weights drawn anew by --seed, the file's are not used"]
    old_layers, layers = (list(m._flatten_layers(include_self=False)) for m in (stored, model))
    for old, new in zip(old_layers, layers, strict=True):
        if hasattr(new, "adapt"):  # statistics of a preprocessing layer are no trained weights
            new.set_weights(old.get_weights())
            if hasattr(new, "finalize_state"):
                new.finalize_state()
    frozen = sum(1 for layer in layers if layer.weights and not layer.trainable)
    if frozen:
        notes.append(f"{frozen} layers are frozen, at weights drawn anew")
    return model, notes


def _refuse_code(path: str) -> None:
    """Refuses a file with layers that are not Keras' own or that carry code, before it is opened.

    Keras' safe mode refuses lambdas; this reads the file's JSON only, so nothing has run yet.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = [name for name in archive.namelist() if name.endswith(".json")]
            left = [json.loads(archive.read(found[0]))] + [
                json.loads(archive.read(name)) for name in found[1:]
            ]
    except (OSError, IndexError, ValueError, RecursionError, zipfile.BadZipFile):
        raise RequestError(f"--model: expected a file saved by Keras 3, {path} is none") from None
    while left:
        node = left.pop()
        if isinstance(node, list):
            left += node
        elif isinstance(node, dict):
            left += node.values()
            kind, module = node.get("class_name"), node.get("module")
            if kind in _CODE:
                raise RequestError(
                    f"--model: {path} holds a {kind.strip('_').capitalize()} layer, which runs "
                    "code of the file's; give a function instead, --model=package.module:function"
                )
            own = module is None or str(module).split(".")[0] == "keras"
            plain = module == "builtins" and kind == "function"
            if isinstance(kind, str) and not own and not plain:
                raise RequestError(
                    f"--model: {path} holds {module}.{kind}, which is no part of Keras; give a "
                    "function instead, --model=package.module:function"
                )
