"""Names of a user's network: `package.module:function`, FILE.keras or `keras:NAME`.

The first two are identified by their content, `keras:NAME`, an application of Keras, by its name.

`build` builds what they name. Imports no TensorFlow.
"""

import importlib
import importlib.machinery
import importlib.util
import re
import sys
from pathlib import Path

from rethink_tf.errors import RequestError
from rethink_tf.models.custom import applications, user_code
from rethink_tf.narrowing import present
from rethink_tf.storage import content_hash as contents
from rethink_tf.storage import paths
from rethink_tf.storage.content_hash import ContentRef

_FUNCTION = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)")


def is_custom(spec: str) -> bool:
    """Whether a model's name is `package.module:function`, FILE.keras or `keras:NAME`."""
    name = contents.shown(str(spec))
    if applications.is_application(name):
        return True
    return name.endswith(".keras") or _FUNCTION.fullmatch(name) is not None


def refuse_other_files(name) -> None:
    """Refuses what looks like a file, a folder or a module and is none of the two forms.

    Raises:
        RequestError: says which forms there are, and of old files of Keras how to change them.
    """
    text = str(name)
    ending = Path(text).suffix.lower()
    if not (ending or "/" in text or ":" in text or paths.absolute(text).is_dir()):
        return
    message = f"--model: expected FILE.keras or package.module:function, received {text}"
    if ending in (".h5", ".hdf5"):
        raise RequestError(
            f"{message}; {ending} is not supported: open it with keras.models.load_model and save "
            "the model as FILE.keras, or give the function that builds it"
        )
    path, colon, function = text.rpartition(":")
    if colon and "/" in path:  # the path of a module
        bare = path.removesuffix(".py")
        if paths.absolute(f"{bare}.py").is_file():
            folder, _, module = bare.rpartition("/")
            message += f"; in the folder {folder} type --model={module}:{function or 'FUNCTION'}"
            raise RequestError(message)
    if ending:
        message += f"; {ending} is not supported"
    raise RequestError(f"{message}; --help lists the names of the paper's networks")


def resolved(spec: str) -> str:
    """The name with the hash of its content: of FILE.keras, or of the function's source file.

    An application of Keras stays as it is.

    Raises:
        RequestError: there is no such file or module.
    """
    ref = ContentRef.parse(spec)
    if ref.sha256 or applications.is_application(spec):
        return spec
    return str(ContentRef(ref.path, content_hash(ref.path)))


def identity(spec: str) -> str:
    """The part of a resolved name that identifies it: the content and the function, not the path.

    Of an application of Keras it is the name.
    """
    if applications.is_application(spec):
        return spec
    ref = ContentRef.parse(spec)
    function = "" if ref.path.endswith(".keras") else ref.path.partition(":")[2]
    return str(ContentRef(function, ref.sha256))


def folder_name(spec: str) -> str:
    """A short name, fit for a folder: that of the function, of the file, or of the application."""
    name = contents.shown(spec)
    return contents.folder_name(
        Path(name).stem if name.endswith(".keras") else name.partition(":")[2]
    )


def content_hash(name: str) -> str:
    """sha256 of FILE.keras, or of the source file of the function's module."""
    if name.endswith(".keras"):
        return contents.file_hash(paths.absolute(name), "model")
    origin = present(module_spec(name.partition(":")[0]).origin, f"the source file of {name}")
    return contents.file_hash(origin, "model")


def module_spec(module: str) -> importlib.machinery.ModuleSpec:
    """Where the source file of a module is; the current folder counts as a place for it.

    Raises:
        RequestError: there is no such module, or it has no source.
    """
    bare = module.removesuffix(".py")
    if bare != module and paths.absolute(f"{bare}.py").is_file():
        raise RequestError(
            f"--model: expected a module, received the file {module}; type --model={bare}:FUNCTION"
        )
    here = str(paths.absolute("").resolve())
    if "" not in sys.path and here not in sys.path:
        sys.path.insert(0, here)
    importlib.invalidate_caches()
    # Finding a module within packages imports these packages, which runs their code.
    with user_code.reported(f"--model: {module} cannot be imported: "):
        loaded = sys.modules.get(module)
        spec = loaded.__spec__ if loaded is not None else importlib.util.find_spec(module)
    if spec is None or not (spec.origin or "").endswith(".py"):
        raise RequestError(
            f"--model: expected a module {module} with a source file, found none in "
            f"{here} or among the installed packages"
        )
    return spec
