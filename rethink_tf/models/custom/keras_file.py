"""FILE.keras, opened without running anything that came with it. Importing this loads no Keras."""

import io
import json
import re
import zipfile
import zlib

from rethink_tf.errors import RequestError
from rethink_tf.models.nested import layers_of

# Classes that run code from the file, or from another file, when they are created or called.
_CODE = ("Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
# What frameworks write around an error: terminal codes; then the start of the error's own line.
_CODES = re.compile(r"\x1b\[[0-9;]*m")
_KIND = re.compile(r"\w*(Error|Exception): ")
# Keras stores weights uncompressed, so a file that unpacks to more than this is refused.
_GROWTH, _SLACK = 8, 64 << 20  # times the size of the file, plus so many bytes
_MOST_JSON = 64 << 20  # bytes; the largest networks of Keras have a few million
_CHUNK = 1 << 20
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # other methods can unpack to any size


def first_line(error: BaseException) -> str:
    """The message of an error, cut to one line, without what frameworks put before it."""
    lines = [line.strip() for line in _CODES.sub("", str(error)).splitlines() if line.strip()]
    if lines[:1] == ["in user code:"]:  # a traceback by AutoGraph comes first
        lines = lines[next((n for n, x in enumerate(lines) if _KIND.match(x)), 0) :]
    # This line names the layer, the next one the error.
    if len(lines) > 1 and "Exception encountered when calling" in lines[0]:
        lines = [f"{lines[0]} {lines[1]}"]
        # Keras could not infer a shape: it says so first, and ends with the error it met.
        if "Error encountered:" in lines[0]:
            lines = [f"{lines[0].partition(' Could not')[0]} {error_met(str(error))}"]
    return (lines or [type(error).__name__])[0][:300]


def error_met(text: str) -> str:
    """What follows "Error encountered:" in a message of Keras, its first line."""
    after = _CODES.sub("", text).partition("Error encountered:")[2]
    return next((line.strip() for line in after.splitlines() if line.strip()), "")


def read(path: str):
    """The architecture of a .keras file with weights drawn anew, and notes about it.

    Raises:
        RequestError: no such file, it holds code, or it unpacks to far more than its size.
    """
    import keras

    _refuse_large(path)
    _refuse_code(path)
    try:
        stored = keras.saving.load_model(path, compile=False, safe_mode=True)
        model = keras.models.clone_model(stored)
    except MemoryError:
        raise RequestError(f"--model={path}: does not fit into memory") from None
    except Exception as error:  # layers may raise anything
        raise RequestError(f"--model={path}: cannot be opened: {first_line(error)}") from None
    notes = [f"{path}: weights drawn anew by --seed; the file's weights are not used"]
    old_layers, layers = (layers_of(each) for each in (stored, model))
    for old, new in zip(old_layers, layers, strict=True):
        # The statistics of a preprocessing layer are kept, since they are not trained.
        if hasattr(new, "adapt"):
            new.set_weights(old.get_weights())
            if hasattr(new, "finalize_state"):
                new.finalize_state()
    frozen = sum(1 for layer in layers if layer.weights and not layer.trainable)
    if frozen:
        notes.append(f"{frozen} layers are frozen, with weights drawn anew")
    return model, notes


def _refuse_large(path: str) -> None:
    """Refuses an archive that unpacks to far more than its size, by what it declares and by what is
    really read, before anything is made of it."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, io.SEEK_END)
            most = _GROWTH * size + _SLACK
            with zipfile.ZipFile(file) as archive:
                for packed in archive.infolist():
                    if packed.compress_type not in _PACKED:
                        raise _none(path)
                    if packed.filename.endswith(".json") and packed.file_size > _MOST_JSON:
                        raise _too_large(path, packed.file_size, size)
                total = sum(packed.file_size for packed in archive.infolist())
                if total > most:
                    raise _too_large(path, total, size)
                total = 0
                for packed in archive.infolist():
                    total = _read_through(archive, packed, total, most, path, size)
                for packed in archive.infolist():
                    if packed.filename.endswith((".h5", ".npz")):
                        total = _weights_size(archive, packed)
                        if total > most:
                            raise _too_large(path, total, size)
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError):
        raise _none(path) from None  # zipfile's NotImplementedError is a RuntimeError


def _read_through(archive, packed, total: int, most: int, path: str, size: int) -> int:
    """The bytes that were unpacked so far and of this member; checks its sum on the way."""
    with archive.open(packed) as member:
        while chunk := member.read(_CHUNK):
            total += len(chunk)
            if total > most:
                raise _too_large(path, total, size)
    return total


def _weights_size(archive, packed) -> int:
    """The bytes that the arrays of a file of weights take once they are read."""
    content = io.BytesIO(archive.read(packed))
    if packed.filename.endswith(".npz"):
        with zipfile.ZipFile(content) as arrays:
            return sum(array.file_size for array in arrays.infolist())
    import h5py

    sizes = []

    def note(_name, item):
        if isinstance(item, h5py.Dataset):
            sizes.append(item.size * item.dtype.itemsize)

    with h5py.File(content, "r") as file:
        file.visititems(note)
    return sum(sizes)


def _none(path: str) -> RequestError:
    return RequestError(f"--model: expected a file saved by Keras 3; {path} is not one")


def _too_large(path: str, unpacked: int, size: int) -> RequestError:
    return RequestError(
        f"--model: {path} is refused: its {_amount(size)} unpack to {_amount(unpacked)} or more; "
        "expected a file as Keras saves it, whose weights are not compressed"
    )


def _amount(size: int) -> str:
    return f"{size / (1 << 20):,.1f} MiB" if size < 1 << 30 else f"{size / (1 << 30):,.1f} GiB"


def _refuse_code(path: str) -> None:
    """Refuses a file with layers that are not Keras' own or that carry code, before it is opened.

    Keras' safe mode refuses lambdas; this reads the file's JSON only, so nothing has run yet.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [name for name in archive.namelist() if name.endswith(".json")]
            left = [json.loads(archive.read(members[0]))] + [
                json.loads(archive.read(name)) for name in members[1:]
            ]
    except (OSError, IndexError, ValueError, RecursionError, zipfile.BadZipFile):
        raise _none(path) from None
    for node in left:  # loss and metrics are not used
        if isinstance(node, dict):
            node.pop("compile_config", None)
    while left:
        node = left.pop()
        if isinstance(node, list):
            left += node
        elif isinstance(node, dict):
            left += node.values()
            if node.get("class_name") in _CODE:
                kind = node["class_name"].strip("_").capitalize()
                raise RequestError(
                    f"--model: {path} holds a {kind} layer, which runs code from the file; "
                    f"{_INSTEAD}"
                )
            if custom := _custom(node):
                raise RequestError(
                    f"--model: {path} holds {custom}, which is not part of Keras; {_INSTEAD}"
                )


_INSTEAD = "give a function instead, --model=package.module:function"


def _custom(node: dict) -> str | None:
    """The name of what a node of the JSON stands for, where it is no part of Keras."""
    import keras

    kind, module, registered = (node.get(k) for k in ("class_name", "module", "registered_name"))
    if not isinstance(kind, str):
        return None
    if module == "builtins" and kind == "function":
        # The activations of Keras itself are plain names, not nodes like this.
        name, places = node.get("config"), (keras.activations, keras.initializers, keras.ops)
        known = isinstance(name, str) and any(hasattr(place, name) for place in places)
        return None if known else f"the function {name}"
    if isinstance(registered, str) and ">" in registered:
        return f"{kind} ({registered})"
    if module is None or str(module).split(".")[0] == "keras":
        return None
    return f"{module}.{kind}"
