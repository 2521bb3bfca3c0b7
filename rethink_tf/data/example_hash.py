"""Hashes that tie a file of labels to its examples. Imports no TensorFlow.

A noise file names examples by identity. In a custom data set an identity is a position, and a file
that is renamed, added or removed shifts all later positions. So the content is hashed.
"""

import functools
import hashlib
from pathlib import Path

from rethink_tf.data.sources import custom as custom_data
from rethink_tf.data.sources import custom_tfds, image_folder
from rethink_tf.errors import RequestError
from rethink_tf.storage import content_hash
from rethink_tf.storage.paths import absolute, data_directory


def examples_hash(dataset: str, data_dir=None) -> str | None:
    """16 hex digits over the examples of a custom data set, in order, and their classes.

    Names, folders and times of files do not count, and neither does the size of resized images.

    Args:
        dataset: as in `--dataset`; a hash that it carries does not matter.
        data_dir: where TFDS's sets lie.

    Returns:
        None for the sets whose identities TFDS or the package gives.

    Raises:
        RequestError: the set cannot be read.
    """
    if not custom_data.is_custom(dataset):
        return None
    kind, _, where = content_hash.shown(dataset).partition(":")
    if kind == "folder":
        return _folder(where, image_folder.listing(absolute(where)).fingerprint())
    if kind == "npz":
        return custom_data.open_set(f"npz:{where}").content[:16]
    prepared = custom_tfds.prepared_set(where, data_directory(data_dir), 32, "none")
    return hashlib.sha256(f"{prepared.content()} {prepared.is_split_here}".encode()).hexdigest()[
        :16
    ]


@functools.lru_cache(maxsize=4)
def _folder(where: str, _fingerprint: str) -> str:
    listing, digest = image_folder.listing(absolute(where)), hashlib.sha256()
    for part, files in listing.parts.items():
        digest.update(f"{part} {len(files)} {len(listing.classes)}\n".encode())
        for label, path in files:
            digest.update(f"{label} {content_hash.file_hash(path, 'dataset')}\n".encode())
    return digest.hexdigest()[:16]


def refuse_other_examples(name: str, header: dict, dataset: str, data_dir=None) -> None:
    """Refuses labels whose header says that they were made for other examples.

    Args:
        name: of the flag and file, for messages.
        header: its `examples`, a hash as above, is compared if it is there; else its `dataset`,
            whose last part must be the same. A header without both is accepted.
        dataset, data_dir: of the run.

    Raises:
        RequestError: made for other examples.
    """
    shown = content_hash.shown(dataset)
    made_for = str(header.get("dataset", shown))
    if "examples" in header:
        own_hash = examples_hash(dataset, data_dir)
        if own_hash is not None and str(header["examples"]) != own_hash:
            raise RequestError(
                f"{name}: made for other data: its header has examples={header['examples']} (of "
                f"{made_for}), {shown} is {own_hash}; export it anew from this data set"
            )
        return
    if _last(made_for) != _last(shown):
        raise RequestError(
            f"{name}: made for other data: its header has dataset={made_for}, the run has {shown}; "
            "export it anew from this data set, or remove that line if the examples and their "
            "order are the same"
        )


def _last(dataset: str) -> tuple[str, str]:
    """Kind and last part of a data set's name, which a copy elsewhere keeps."""
    kind, colon, where = dataset.partition(":")
    return kind, Path(where).name if colon else ""
