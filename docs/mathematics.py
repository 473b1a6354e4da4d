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
"""A formula as `pymdownx.arithmatex` writes it, from `$…$` or `$$…$$`."""


def on_page_content(text: str, **_: Any) -> str:
    """Typeset the formulas of a page.

    Args:
        text: The page as HTML.

    Returns:
        The same with MathML.
    """

    def typeset(match: re.Match[str]) -> str:
        latex = html.unescape(match["latex"])
        if match["tag"] == "span":
            return latex2mathml.converter.convert(latex, display="inline")

        # a formula that is wider than a phone scrolls, and the page does not
        formula = latex2mathml.converter.convert(latex, display="block")
        return f'<div style="overflow-x: auto; overflow-y: hidden">{formula}</div>'

    return _FORMULA.sub(typeset, text)
