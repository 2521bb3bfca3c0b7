"""What labels and pixels really are: the audit before training, and of anyone's labels."""

from typing import Any


def labels(*args: Any, **kwargs: Any) -> Any:
    """Says in words what anyone's labels are: `audit.verdict.labels`, which see.

    `labels(true, given, p=0.5)` returns its Verdict. Raises RequestError.
    """
    from rethink_tf.audit import verdict  # no run needs it

    return verdict.labels(*args, **kwargs)
