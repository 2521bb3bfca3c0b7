"""The exit codes of every command, and the errors that carry them. Imports nothing."""

import enum


class ExitCode(enum.IntEnum):
    """What a command's exit code means. A test holds the documentation's table equal to this."""

    DONE = 0
    BUG = 1
    WRONG_REQUEST = 2
    INVALID = 3
    DIVERGED = 4
    IN_USE = 5
    STORAGE_FAILED = 6
    INTERRUPTED = 130
    TERMINATED = 143


class RethinkError(Exception):
    """An expected failure: its message is one clear line, its exit code says of which kind."""

    exit_code = ExitCode.BUG


class RequestError(RethinkError):
    """The request cannot be met as it stands: a flag, a file, or data that is not there."""

    exit_code = ExitCode.WRONG_REQUEST


class AuditError(RethinkError):
    """What the pipeline yields is not what the configuration says."""

    exit_code = ExitCode.INVALID


class DivergedError(RethinkError):
    """The training loss became NaN or infinite."""

    exit_code = ExitCode.DIVERGED


class InUseError(RethinkError):
    """Another live process holds the run directory."""

    exit_code = ExitCode.IN_USE


class StorageError(RethinkError):
    """A file could not be written or read: disk full, no permission."""

    exit_code = ExitCode.STORAGE_FAILED
