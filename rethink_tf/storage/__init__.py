"""Files and folders: atomic writes, the array cache, content hashes, the lock of a run."""
