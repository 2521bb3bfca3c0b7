"""The lock of a run directory: one process at a time trains there.

Imports no TensorFlow.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from rethink_tf.errors import InUseError, StorageError
from rethink_tf.storage import temporaries
from rethink_tf.storage.files import storage

NAME = "lock"


@contextlib.contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Holds the run directory for this process; the lock dies with its owner.

    Raises:
        InUseError: another process holds it.
        StorageError: the directory cannot be made or written.
    """
    with _lock_file(run_dir) as file:
        with storage(run_dir):
            file.truncate(0)
            file.write(str(os.getpid()).encode())
            temporaries.sweep_folder(run_dir, locked=True)
            for folder in filter(Path.is_dir, run_dir.iterdir()):  # checkpoints, snapshots
                temporaries.sweep_folder(folder, locked=True)
        try:
            yield
        finally:
            # A request that was refused before anything was written leaves nothing behind.
            with contextlib.suppress(OSError):
                if [path.name for path in run_dir.iterdir()] == [NAME]:
                    (run_dir / NAME).unlink()
                    run_dir.rmdir()


def _lock_file(run_dir: Path) -> FileIO:
    """The lock file, open and locked, in a folder that is made if need be."""
    path = run_dir / NAME
    with storage(run_dir):
        for _ in range(100):
            run_dir.mkdir(parents=True, exist_ok=True)
            with contextlib.ExitStack() as stack, contextlib.suppress(FileNotFoundError):
                file = stack.enter_context(open(path, "a+b", buffering=0))
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if _only_looked_at(file):
                        time.sleep(0.01)
                        continue
                    file.seek(0)
                    owner = file.read().decode(errors="replace").strip() or "unknown"
                    raise InUseError(
                        f"{run_dir}: in use by process {owner}, which is training the same "
                        "configuration; wait for it, or change a setting (such as --seed)"
                    ) from None
                # The last owner may have removed the folder after the file was opened here. A lock
                # on a removed file would keep no one out.
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    stack.pop_all()
                    return file
    raise StorageError(f"{path}: cannot be locked after 100 tries; type the same command again")


def _only_looked_at(file: FileIO) -> bool:
    """Whether nobody trains here: who asks for a run's state shares its lock for a moment."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(file, fcntl.LOCK_UN)  # otherwise two starting processes could block each other
    return True
