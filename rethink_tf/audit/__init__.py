"""Checks what labels and pixels really are, before training and for labels of any origin."""

from typing import Any


def labels(*args: Any, **kwargs: Any) -> Any:
    """Names the rule by which given labels came from true ones; see `audit.verdict.labels`.

    `labels(true, given, p=0.5)` returns its Verdict. Raises RequestError.
    """
    from rethink_tf.audit import verdict  # imported late: a run does not need it

    return verdict.labels(*args, **kwargs)
