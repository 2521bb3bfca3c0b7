"""Names of splits as people spell them: `Training`, `seg_test`, `VAL`, `training_set`, `train2017`.

Imports nothing of this package.
"""

import re
from collections.abc import Iterable

TRAIN, TEST, VALIDATION = "train", "test", "validation"
# The first of these that exists is used for testing.
FOR_TESTING = (TEST, VALIDATION)

_WORD = re.compile(
    r"(?:(?P<train>train(?:ing)?)|(?P<test>test(?:ing)?)"
    r"|(?P<validation>val(?:id|idate|idation)?|dev|eval(?:uation)?))"
    r"(?:set|split|data|images|imgs)?\d*"
)
# Names that do not tell what a folder contains.
_GENERIC = {"set", "split", "data", "dataset", "folder", "images", "image", "imgs", "img"}


def part_of(name: str) -> tuple[str, tuple[str, ...]] | None:
    """The split in a name, and its other words; None if the name has none, or two.

    >>> part_of("Training_Set"), part_of("seg_train"), part_of("trainval")
    (('train', ()), ('train', ('seg',)), None)
    """
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    words = [word for word in re.split(r"[\W_]+", apart) if word]
    parts = {word: str(match.lastgroup) for word in words if (match := _WORD.fullmatch(word))}
    if len(parts) != 1:
        return None
    ((word, part),) = parts.items()
    rest = (w for w in words if w != word and w not in _GENERIC and not w.isdigit())
    return part, tuple(rest)


def is_generic(name: str) -> bool:
    """Whether a name is general, such as `images`."""
    return name.lower() in _GENERIC


def by_part(names: Iterable[str]) -> dict[str, list[str]]:
    """The names that are those of splits, by split.

    A name with another word in it (`seg_train`, `freight_train`) counts where a second split has
    the same other words (`seg_test`).
    """
    known = {name: known_part for name in names if (known_part := part_of(name)) is not None}
    parts: dict[tuple[str, ...], set[str]] = {}
    for part, rest in known.values():
        parts.setdefault(rest, set()).add(part)
    folders: dict[str, list[str]] = {TRAIN: [], TEST: [], VALIDATION: []}
    for name, (part, rest) in known.items():
        if not rest or len(parts[rest]) > 1:
            folders[part].append(name)
    return folders


def for_testing(folders: dict[str, list[str]]) -> list[str]:
    """The names for testing: those of the first split in `FOR_TESTING` that exists."""
    return next((folders[part] for part in FOR_TESTING if folders[part]), [])
