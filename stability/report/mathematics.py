"""Mathematics in running text as MathML: `θ_{t+1}`, `√(n−1)`, `E √Σ_t ≼ α(n)^t √Σ_0`.

The words of claims are plain text, which terminals show as well. A page shows the same words with
their formulas typeset, without a script.
"""

import html
import re
from collections.abc import Sequence

__all__ = ["mathematics"]

_CODE = re.compile(r".*[a-zA-Z]{2}_|.*\w\.\w*[a-z]|\d+e[-−]\d+.*")
"""A name or a number of a program is no formula: `student_t`, `1e-4`."""
_MARK = re.compile("[_^√‖∇≤≥≼≽≺≻→↦∞⊗Α-Ωα-ωᵀ⁻₀-₉½¼⁰¹²³⁴-⁹ᵗᵏⁿ]|[a-zA-Z]\\*")
"""A word with one of these is a formula."""
_OPERATOR = re.compile("[=<>+−·/~≠∈≤≥≼≽≺≻→↦⊗]|[<>]=")
_BESIDE = re.compile(r"[EPnt]|log|det|exp|min|max|\(?\d+(\.\d+)?\)?")
"""A word that belongs to the formula beside it."""
_LETTER = re.compile(r"\(?\d*[a-zA-Z]\)?")
"""A word that belongs to a formula if an operator stands beside it."""
_END = re.compile(r"('s)?[,.:;]*$")
_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻ᵀᵗᵏⁿ*'", "0123456789−⊤tkn*′", strict=True))
_LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True))
_NAME = re.compile(r"log|det|exp|min|max|diag|Cov|Var|tr|OPT|[^\W\d_][\u0300-\u036f]*")
_NUMBER = re.compile(r"\d+(\.\d+)?|[½¼]")
_FUNCTIONS = {f"<mi>{name}</mi>" for name in ("log", "det", "exp", "tr")}
_SUBSCRIPT = re.compile(r"\{([^}]*)\}|(OPT|\d+|[^\W\d_])")
_SUPERSCRIPT = re.compile(r"\{([^}]*)\}|\(([^)]*)\)|([-−]?\d*[^\W\d_]?|[½¼∞])")


def mathematics(words: str) -> str:
    """Words as HTML, with their formulas as MathML.

    Args:
        words: Plain text.

    Returns:
        HTML that may stand in Markdown, too: `*`, `_` and `|` are escaped.
    """
    tokens, parts = words.split(" "), []
    while tokens:
        length = _formula_length(tokens)
        parts.append(_typeset(" ".join(tokens[:length])) if length else _escape(tokens[0]))
        tokens = tokens[max(length, 1) :]
    return " ".join(parts)


def _formula_length(tokens: Sequence[str]) -> int:
    """Number of the first words that are one formula, 0 for none."""
    length, has_mark = 0, False
    for i, token in enumerate(tokens):
        bare = _END.sub("", token)
        beside = (*tokens[max(0, i - 1) : i], *tokens[i + 1 : i + 2])
        joins = (
            _OPERATOR.fullmatch(bare)
            or _BESIDE.fullmatch(bare)
            or (_LETTER.fullmatch(bare) and any(map(_OPERATOR.fullmatch, beside)))
        )
        if _CODE.match(bare) or not (_MARK.search(bare) or joins):
            break
        length, has_mark = i + 1, has_mark or bool(_MARK.search(bare))
        so_far = "".join(tokens[:length])
        if bare != token and so_far.count("(") <= so_far.count(")"):
            break
    return length if has_mark else 0


def _typeset(formula: str) -> str:
    """One formula, with the brackets and the punctuation around it that are no part of it."""
    bare = _END.sub("", formula)
    before, after = "", formula[len(bare) :]
    if bare.count("(") > bare.count(")") and bare.startswith("("):
        before, bare = "(", bare[1:]
    if bare.count(")") > bare.count("(") and bare.endswith(")"):
        bare, after = bare[:-1], f"){after}"
    row = _row(bare.replace("<=", "≤").replace(">=", "≥"))
    return f"{before}<math><mrow>{row}</mrow></math>{_escape(after)}"


def _row(text: str) -> str:
    """The elements of a formula, one after the other."""
    parts = []
    while text:
        part, text = _scripted(text)
        parts.append(part)
    return "".join(parts)


def _scripted(text: str) -> tuple[str, str]:
    """The first element of a formula with its subscript and superscript, and the rest."""
    base, text = _element(text)
    lower = upper = ""
    while text:
        if text[0] == "_" and (match := _SUBSCRIPT.match(text, 1)):
            lower, text = lower + _row(match[1] or match[2]), text[match.end() :]
        elif text[0] == "^" and (match := _SUPERSCRIPT.match(text, 1)):
            upper += _row(next(group for group in match.groups() if group is not None))
            text = text[match.end() :]
        elif text[0] in _RAISED:
            upper, text = upper + _leaf(_RAISED[text[0]]), text[1:]
        elif text[0] == "∞" and base.startswith("<mi>"):
            upper, text = upper + _leaf("∞"), text[1:]
        elif text[0] in _LOWERED:
            lower, text = lower + _leaf(_LOWERED[text[0]]), text[1:]
        elif base == "<mi>λ</mi>" and text.startswith(("min", "max")):
            lower, text = _leaf(text[:3]), text[3:]
        else:
            break

    rows = [f"<mrow>{part}</mrow>" for part in (lower, upper) if part]
    tag = {(True, True): "msubsup", (True, False): "msub", (False, True): "msup"}.get(
        (bool(lower), bool(upper))
    )

    return (f"<{tag}>{base}{''.join(rows)}</{tag}>" if tag else base), text


def _element(text: str) -> tuple[str, str]:
    """The first element of a formula without its scripts, and the rest."""
    if text[0] == "√" and len(text) > 1:
        if text[1] == "(" and (end := _closing(text, 1)):
            return f"<msqrt>{_row(text[2:end])}</msqrt>", text[end + 1 :]
        root, rest = _scripted(text[1:])
        if rest.startswith("(") and root in _FUNCTIONS:
            argument, rest = _scripted(rest)
            root += argument
        return f"<msqrt>{root}</msqrt>", rest
    if text[0] == "(" and (end := _closing(text, 0)):
        return f"<mrow>{_leaf('(')}{_row(text[1:end])}{_leaf(')')}</mrow>", text[end + 1 :]
    if text[0] == " ":
        return '<mspace width="0.2em"/>', text[1:]
    match = _NUMBER.match(text) or _NAME.match(text)
    length = match.end() if match else 1
    return _leaf(text[:length]), text[length:]


def _closing(text: str, start: int) -> int:
    """Position where the bracket that opens at `start` closes, 0 for nowhere."""
    depth = 0
    for i, letter in enumerate(text[start:], start):
        depth += (letter == "(") - (letter == ")")
        if not depth:
            return i
    return 0


def _leaf(text: str) -> str:
    """An identifier, a number or an operator."""
    if _NUMBER.fullmatch(text):
        return f"<mn>{_escape(text)}</mn>"
    if _NAME.fullmatch(text):
        return f"<mi>{_escape(text)}</mi>"
    return f'<mo stretchy="false">{_escape(text)}</mo>'


def _escape(text: str) -> str:
    escaped = html.escape(text, quote=False)
    for letter in "*_|":
        escaped = escaped.replace(letter, f"&#{ord(letter)};")
    return escaped
