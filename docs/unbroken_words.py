"""Hook of MkDocs: an option such as `--seeds` and the name of a module are not broken at the end of
a line, as a browser would do after each hyphen.
"""

import re
from typing import Any

_CODE = re.compile(r"(<pre.*?</pre>)|<code>([^<]*)</code>", re.DOTALL)
"""A block of code, which keeps its lines, or code within a line."""
_WORD = re.compile(r"\S*[-._]\S*")
LONGEST = 20
"""Characters of a word that fits beside others on a phone; a longer one may be broken."""


def on_page_content(text: str, **_: Any) -> str:
    """Keep the words of code together.

    Args:
        text: The page as HTML.

    Returns:
        The same, with a mark around each word of code that a browser would break.
    """

    def kept(match: re.Match[str]) -> str:
        word = match[0]
        return f'<span style="white-space: nowrap">{word}</span>' if len(word) <= LONGEST else word

    def together(match: re.Match[str]) -> str:
        return match[1] or f"<code>{_WORD.sub(kept, match[2])}</code>"

    return _CODE.sub(together, text)
