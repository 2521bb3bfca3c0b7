"""Makes text from outside, such as file and class names, safe for a terminal and for Markdown.

A name may hold an escape sequence that moves the cursor, a line break that forges a line, or a
mark that turns the direction of what follows. None of them is ever written as it is. Imports
nothing of this package.
"""

import re
import unicodedata

# Control, direction and format characters, line and paragraph separators, lone surrogates.
_UNFIT = ("Cc", "Cf", "Zl", "Zp", "Cs")
_JOINERS = "\u200c\u200d"  # of category Cf, but part of ordinary words in some scripts
# Punctuation with a meaning in Markdown at any place.
_MARKS = re.compile(r"[`*\[\]<>|~&$]|\\(?=[!-/:-@\[-`{-~]|$)|(?<![^\W_])_|_(?![^\W_])")
# What has a meaning at the beginning of a line, a cell or a list item.
_BEGINNING = re.compile(r"^(#|[-+](?=\s)|=)|^(\d+)([.)])(?=\s)")


def printable(text: object, *, lines: bool = False) -> str:
    r"""Text in which what is no visible character is written as an escape: `\x1b`, `\u202e`.

    Args:
        text: anything; `str` of it is taken.
        lines: whether its line breaks and tabs are the program's own and stay.

    Returns:
        The text; the same object where there is nothing to escape. It can always be encoded.
    """
    text = str(text)
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if _fit(c) or (lines and c in "\n\t") else _escaped(c) for c in text)


def _fit(character: str) -> bool:
    return character in _JOINERS or unicodedata.category(character) not in _UNFIT


def _escaped(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def markdown(text: object) -> str:
    """Text as one line of Markdown that shows it as it is: in a cell, an item, or a paragraph.

    Underscores within a word stay, since they mean nothing there: `mlp_1x512`.
    """
    text = _MARKS.sub(r"\\\g<0>", printable(text))
    return _BEGINNING.sub(lambda m: f"\\{m[1]}" if m[1] else f"{m[2]}\\{m[3]}", text)
