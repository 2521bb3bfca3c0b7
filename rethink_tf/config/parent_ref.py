"""The reference to the parent run in a resolved configuration (`--init_from`)."""

import dataclasses

from rethink_tf.errors import RequestError

_MARK = "@parent:"


@dataclasses.dataclass(frozen=True)
class ParentRef:
    """A trained run after one of its epochs.

    As text it is `FOLDER@parent:RUN_ID:EPOCH:WEIGHTS_HASH`; only what stands behind the mark
    is part of a run's identity.

    Attributes:
        folder: where the run lies; only recorded.
        run_id: of the run.
        epoch: after which its weights are taken.
        weights_hash: of all its variables then (`checkpoint.weights_hash`).
    """

    folder: str
    run_id: str
    epoch: int
    weights_hash: str

    def __str__(self) -> str:
        return f"{self.folder}{_MARK}{self.identity}"

    @property
    def identity(self) -> str:
        """What counts of it: run id, epoch and weights hash."""
        return f"{self.run_id}:{self.epoch}:{self.weights_hash}"

    @classmethod
    def parse(cls, text: str) -> "ParentRef":
        """Takes `str` back.

        Raises:
            RequestError: the text is of another form.
        """
        folder, mark, named = text.rpartition(_MARK)
        parts = named.split(":")
        if not mark or len(parts) != 3 or not (parts[1].isascii() and parts[1].isdigit()):
            raise RequestError(
                "--init_from: expected a run's folder, a run id, a file .flags or random, received "
                f"{text}"
            )
        return cls(folder, parts[0], int(parts[1]), parts[2])


def is_parent_ref(text: str | None) -> bool:
    """Whether a value of --init_from is a resolved one, the text of a ParentRef."""
    return text is not None and _MARK in text
