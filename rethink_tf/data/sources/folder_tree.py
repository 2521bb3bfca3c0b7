"""Lists a folder tree: images, hidden files, and links. Imports no TensorFlow.

Nothing is skipped silently. Files that are not images are counted. Links that lead nowhere are
refused, and so are folders that are reached twice, since their images would count twice.
"""

import dataclasses
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from rethink_tf.errors import RequestError
from rethink_tf.printable import printable

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
NAMED = 5
# Files and folders that systems and programs leave behind, besides names that begin with a dot.
_LEFT_BEHIND = {
    "__macosx",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "@eadir",
    "$recycle.bin",
    "system volume information",
    "lost+found",
    "__pycache__",
}


@dataclasses.dataclass(frozen=True)
class Entry:
    """One name in a folder: what it is, links followed.

    Attributes:
        path: as it was reached.
        kind: "folder", "file", "other" (a pipe, a device), or "dead": a link that leads nowhere, or
            in a circle.
        link: whether it is a link itself.
        key: of a folder, the same whichever way it is reached.
    """

    path: Path
    kind: str
    link: bool
    key: object = None

    @property
    def is_image(self) -> bool:
        """Whether its name is that of an image file."""
        return self.kind == "file" and self.path.suffix.lower() in ENDINGS


@dataclasses.dataclass
class Tree:
    """The folders and files that were read so far; one tree may hold several folders.

    Attributes:
        others: how many files are no images by their names.
        hidden: folders and images of hidden names, not read.
        linked: links to folders, whose images are read.
        dead: links that lead nowhere.
        folders: by key, every folder that was entered, under the path it was first reached by.
    """

    others: int = 0
    hidden: list[Path] = dataclasses.field(default_factory=list)
    linked: list[Path] = dataclasses.field(default_factory=list)
    dead: list[Path] = dataclasses.field(default_factory=list)
    folders: dict[object, Path] = dataclasses.field(default_factory=dict)


def some(names) -> str:
    """The first names of a list as text, and how many more there are."""
    names = list(names)
    more = len(names) - NAMED
    shown = ", ".join(printable(name) for name in names[:NAMED])
    return shown + (f" and {more} more" if more > 0 else "")


def is_hidden(name: str) -> bool:
    """Whether a name begins with a dot, or is one that systems leave behind."""
    return name.startswith(".") or name.lower() in _LEFT_BEHIND


def entries(folder: Path, *, hidden: bool = False) -> list[Entry]:
    """What is in a folder, by name; what is hidden only if asked for.

    Raises:
        OSError: it cannot be read.
    """
    with os.scandir(folder) as scanned:
        kept = [e for e in scanned if hidden or not is_hidden(e.name)]
    return [_entry(e) for e in sorted(kept, key=lambda e: e.name)]


def _entry(scanned: os.DirEntry) -> Entry:
    path, link = Path(scanned.path), scanned.is_symlink()
    try:
        status = os.stat(scanned.path)
    except PermissionError:
        raise
    except OSError:  # a broken link, or a circle of links
        return Entry(path, "dead", link)
    if stat.S_ISDIR(status.st_mode):
        return Entry(path, "folder", link, _key(path, status))
    return Entry(path, "file" if stat.S_ISREG(status.st_mode) else "other", link)


def _key(path: Path, status: os.stat_result):
    """Some file systems number nothing: there the path without links tells."""
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(path)


def enter(tree: Tree, folder: Path) -> None:
    """Notes that a folder is read.

    Raises:
        RequestError: it was entered before, by another way.
    """
    key = _key(folder, os.stat(folder))
    if key in tree.folders:
        raise RequestError(
            f"--dataset: {printable(folder)} and {printable(tree.folders[key])} are one folder, "
            "reached twice through a link: its images would count twice; remove the link"
        )
    tree.folders[key] = folder


def images(tree: Tree, folder: Path) -> list[Path]:
    """The images below a folder at any depth, in the order of their paths; counts what else is.

    Raises:
        OSError: a folder cannot be read.
        RequestError: a folder is reached twice.
    """
    return sorted(_images(tree, folder), key=lambda path: path.as_posix())


def _images(tree: Tree, folder: Path) -> Iterator[Path]:
    left = [folder]
    while left:
        here = left.pop()
        enter(tree, here)
        for entry in entries(here, hidden=True):
            if is_hidden(entry.path.name):
                # Others, such as .DS_Store, are not worth a message.
                if entry.is_image or (entry.kind == "folder" and entry.path.name.startswith(".")):
                    tree.hidden.append(entry.path)
            elif entry.kind == "dead":
                tree.dead.append(entry.path)
            elif entry.kind == "folder":
                left.append(entry.path)
                if entry.link:
                    tree.linked.append(entry.path)
            elif entry.is_image:
                yield entry.path
            else:
                tree.others += 1
