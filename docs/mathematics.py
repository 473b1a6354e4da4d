"""Hook of MkDocs: formulas between dollar signs become MathML, which browsers show without a script
and without a network.
"""

import html
import re
from typing import Any

import latex2mathml.converter

_FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<latex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL
)
"""What `pymdownx.arithmatex` makes of `$…$` and of `$$…$$`."""


def on_page_content(text: str, **_: Any) -> str:
    """Typeset the formulas of a page.

    Args:
        text: The page as HTML.

    Returns:
        The same with MathML.
    """

    def typeset(match: re.Match[str]) -> str:
        display = "block" if match["tag"] == "div" else "inline"
        return latex2mathml.converter.convert(html.unescape(match["latex"]), display=display)

    return _FORMULA.sub(typeset, text)
