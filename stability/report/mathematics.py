"""Mathematics in running text as MathML: `θ_{t+1}`, `√(n−1)`, `E √Σ_t ≼ α(n)^t √Σ_0`.

The words of claims are plain text, which terminals show as well. A page shows the same words with
their formulas typeset, without a script. A word is part of a formula by its signs, or by its build:
one letter, or letters, numbers and signs in which no two letters stand side by side.
"""

import html
import re
from collections.abc import Sequence

__all__ = ["mathematics"]

_FUNCTION = "logdet|log|det|exp|min|max|cosh?|sin|tanh?|tr|sd|vec|erfc|KL|Re|Im"
_WORD = "diag|Cov|Var|OPT|data|eff|real|model|training|samples|target"
"""Words in formulas that are no product of letters."""
_LETTERS = rf"(?:{_FUNCTION}|{_WORD}|[^\W\d_][\u0300-\u036f]*)"
_EXPONENT = r"\d+(?:\.\d+)?e[-−]?\d+"
"""A power of ten as programs write it: `1e-06`."""
_CODE = re.compile(rf"(?!.*(?:{_WORD}|min|max)_).*[a-zA-Z]{{2}}_|.*[a-zA-Z_]\.\w*[a-z]")
"""A name of a program is no formula: `student_t`, `a.b`."""
_MARK = re.compile("[_^√‖∇∫≤≥≼≽≺≻→↦∞⊗Α-Ωα-ωᵀ⁻₀-₉½¼⁰¹²³⁴-⁹ᵗᵏⁿ]|[a-zA-Z]\\*|\\de[-−]\\d")
"""A word with one of these is a formula."""
_OPERATOR = re.compile("[=<>+−·/~≠∈≤≥≼≽≺≻→↦←⊗∫]|[<>]=")
_SIGNS = r"[=<>+−·/~≠∈←|()…,]"
_BUILT = re.compile(
    rf"(?=.*[^\W\d_])(?=.+{_SIGNS}|{_SIGNS})(?!\(?([ES]\d+|i|{_WORD})\)?$)"
    rf"(?:{_LETTERS}(?![^\W\d_])|{_EXPONENT}|\d+(?:\.\d+)?|{_SIGNS}|')+"
)
"""A word that is a formula by its build: `(n−1)`, `f(w)`, `1/m)D`. An erratum, `(E9)`, is none."""
_BESIDE = re.compile(rf"{_FUNCTION}|Cov|Var|diag|d[txz]|…|·\)?|[\d.()/·+−]*\d[\d.()/·+−]*")
"""A word that belongs to the formula beside it."""
_LETTER = re.compile(r"\d*[^\W\d_][\u0300-\u036f]*'?")
_ARTICLES = ("a", "A")
"""Letters that are words, unless an operator stands beside them."""
_LEMMA = re.compile(r"[A-Z]\.\d")
"""A word after which `i` is a number."""
_LINE = 28
"""Letters of a formula that stays in one piece."""
_BREAKS = re.compile("[=<>+−·≤≥≼≽≺≻→←∈]")
"""Signs before which a long formula may break."""
_END = re.compile(r"('s|-[a-z]{2,})?[,.:;]*$")
_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻ᵀᵗᵏⁿ*'", "0123456789−⊤tkn*′", strict=True))
_LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True))
_NAME = re.compile(_LETTERS)
_NUMBER = re.compile(rf"{_EXPONENT}|\d+(\.\d+)?|[½¼]")
_FUNCTIONS = {f"<mi>{name}</mi>" for name in ("log", "det", "exp", "tr")}
_SUBSCRIPT = re.compile(rf"\{{([^}}]*)\}}|\(([^)]*)\)|({_WORD}|\d+|∞|[^\W\d_])")
_SUPERSCRIPT = re.compile(r"\{([^}]*)\}|\(([^)]*)\)|([-−]?\d*[^\W\d_]?|[½¼∞])")


def mathematics(words: str) -> str:
    """Words as HTML, with their formulas as MathML.

    Args:
        words: Plain text.

    Returns:
        HTML that may stand in Markdown, too: `*`, `_` and `|` are escaped.
    """
    tokens, parts, start = words.split(" "), [], 0
    while start < len(tokens):
        length = _formula_length(tokens, start)
        formula = " ".join(tokens[start : start + length])
        parts.append(_typeset(formula) if length else _escape(tokens[start]))
        start += max(length, 1)
    return " ".join(parts)


def _formula_length(tokens: Sequence[str], start: int) -> int:
    """Number of the words from `start` on that are one formula, 0 for none."""
    is_formula, end = False, start
    for i, token in enumerate(tokens[start:], start):
        bare = _END.sub("", token)
        alone = _MARK.search(bare) or _BUILT.fullmatch(bare) or _is_variable(tokens, i)
        if _CODE.match(bare) or not (alone or _OPERATOR.fullmatch(bare) or _BESIDE.fullmatch(bare)):
            break

        end, is_formula = i + 1, is_formula or bool(alone)
        so_far = "".join(tokens[start:end])
        if bare != token and so_far.count("(") <= so_far.count(")"):
            break
    return end - start if is_formula else 0


def _is_variable(tokens: Sequence[str], i: int) -> bool:
    """Tell whether a word is a letter, perhaps with a factor, that is no article."""
    word = _END.sub("", tokens[i])
    before, after = tokens[max(0, i - 1) : i], tokens[i + 1 : i + 2]
    if not _LETTER.fullmatch(word) or (word == "i" and any(map(_LEMMA.match, before))):
        return False
    return word not in _ARTICLES or any(map(_OPERATOR.fullmatch, (*before, *after)))


def _typeset(formula: str) -> str:
    """One formula, with the brackets and the punctuation around it that are no part of it."""
    bare = _END.sub("", formula)
    before, after = "", formula[len(bare) :]
    if bare.count("(") > bare.count(")") and bare.startswith("("):
        before, bare = "(", bare[1:]
    if bare.count(")") > bare.count("(") and bare.endswith(")"):
        bare, after = bare[:-1], f"){after}"
    pieces = _pieces(bare.replace("<=", "≤").replace(">=", "≥"))
    shown = " ".join(f"<math><mrow>{_row(piece)}</mrow></math>" for piece in pieces)
    return f"{before}{shown}{_escape(after)}"


def _pieces(formula: str) -> list[str]:
    """Parts of a formula between which a line may end: one, if it is short."""
    if len(formula) <= _LINE:
        return [formula]
    pieces, open_ = [""], []
    for word in formula.split(" "):
        before = pieces[-1]
        if before and not any(open_) and (_BREAKS.match(word) or before.endswith(",")):
            pieces.append(word)
        else:
            pieces[-1] = f"{before} {word}" if before else word
        for i, letter in enumerate(word):
            if letter in "({":
                open_.append(word[max(0, i - 1)] in "√^_")  # one element, in one piece
            elif letter in ")}" and open_:
                open_.pop()
    return pieces


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
            written = next(group for group in match.groups() if group is not None)
            lower, text = lower + _row(written), text[match.end() :]
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
    if re.fullmatch(_EXPONENT, text):
        return _power_of_ten(text)
    if _NUMBER.fullmatch(text):
        return f"<mn>{_escape(text)}</mn>"
    if re.fullmatch(_WORD, text):
        return f"<mtext>{text}</mtext>"
    if _NAME.fullmatch(text):
        return f"<mi>{_escape(text)}</mi>"
    return f'<mo stretchy="false">{_escape(text)}</mo>'


def _power_of_ten(number: str) -> str:
    """A number such as `1e-06` as 10⁻⁶."""
    factor, _, power = number.replace("-", "−").partition("e")
    exponent = power.removeprefix("−").lstrip("0") or "0"
    sign = "<mo>−</mo>" if power.startswith("−") else ""
    times = "" if factor == "1" else f"<mn>{factor}</mn><mo>·</mo>"
    return f"{times}<msup><mn>10</mn><mrow>{sign}<mn>{exponent}</mn></mrow></msup>"


def _escape(text: str) -> str:
    escaped = html.escape(text, quote=False)
    for letter in "*_|":
        escaped = escaped.replace(letter, f"&#{ord(letter)};")
    return escaped
