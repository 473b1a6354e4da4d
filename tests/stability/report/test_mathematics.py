import re
from xml.etree import ElementTree

import pytest

from stability.report.glossary import GLOSSARY, SYMBOLS
from stability.report.mathematics import mathematics
from stability.statements import STATEMENTS, import_statement
from stability.statements.examination import claims

_SAME = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉ᵀᵗᵏⁿ", "01234567890123456789Ttkn")


def plain(words):
    """A formula without elements and spaces, as the tests below write it."""
    return re.sub(r'<mspace[^>]*>|</?math>|</?mrow>| stretchy="false"', "", mathematics(words))


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("θ_{t+1}", "<msub><mi>θ</mi><mi>t</mi><mo>+</mo><mn>1</mn></msub>"),
        ("α(n)^t", "<msup><mo>(</mo><mi>n</mi><mo>)</mo><mi>t</mi></msup>"),
        ("σ²_t", "<msubsup><mi>σ</mi><mi>t</mi><mn>2</mn></msubsup>"),
        ("√(n−1)", "<msqrt><mi>n</mi><mo>−</mo><mn>1</mn></msqrt>"),
        ("√Σ_t", "<msqrt><msub><mi>Σ</mi><mi>t</mi></msub></msqrt>"),
        ("√log(bt)", "<msqrt><mi>log</mi><mo>(</mo><mi>b</mi><mi>t</mi><mo>)</mo></msqrt>"),
        ("λmax", "<msub><mi>λ</mi><mi>max</mi></msub>"),
        ("G∞", "<msup><mi>G</mi><mo>∞</mo></msup>"),
        ("θ*", "<msup><mi>θ</mi><mo>&#42;</mo></msup>"),
        ("ρ <= ½", "<mi>ρ</mi><mo>≤</mo><mn>½</mn>"),
        ("n_eff", "<msub><mi>n</mi><mtext>eff</mtext></msub>"),
        ("D_∞", "<msub><mi>D</mi><mo>∞</mo></msub>"),
        ("1/m)D", "<mn>1</mn><mo>/</mo><mi>m</mi>"),
        ("at n = 4", "<mi>n</mi><mo>=</mo><mn>4</mn>"),
        ("2 sin φ", "<mn>2</mn><mi>sin</mi><mi>φ</mi>"),
        ("1e-06", "<msup><mn>10</mn><mo>−</mo><mn>6</mn></msup>"),
        ("2.5e-3", "<mn>2.5</mn><mo>·</mo><msup><mn>10</mn><mo>−</mo><mn>3</mn></msup>"),
    ],
)
def test_a_formula_has_its_parts(words, shown):
    assert shown in plain(words)


@pytest.mark.parametrize(
    "words",
    [
        "",
        "A family, data and one law (13).",
        "student_t and and/or",
        "Lemma A.1 i and ii (E9), on a Gaussian.",
        "`stability.gaussian.alpha`",
    ],
)
def test_other_words_stay_as_they_are(words):
    assert "<" not in mathematics(words)
    assert mathematics(words).replace("&#95;", "_") == words


def test_a_formula_ends_with_its_words_and_without_punctuation():
    assert mathematics("of θ_t, then") == (
        "of <math><mrow><msub><mi>θ</mi><mrow><mi>t</mi></mrow></msub></mrow></math>, then"
    )
    assert mathematics("the n-th").endswith("</math>-th")
    assert mathematics("in Σ_t's basis").endswith("</math>'s basis")
    assert mathematics("E √Σ ≼ α(n) √Σ, with it").count("<math>") == 1
    assert mathematics("this < that & more") == "this &lt; that &amp; more"


def test_a_long_formula_may_end_a_line_but_not_inside_an_element():
    words = "E (Σ_1)_11 >= (E χ_3 − ½k²·E 1/χ_3)/√(3 + a + b + c + d) > 0.92129"
    pieces = re.findall(r"<math>.*?</math>", mathematics(words))
    assert len(pieces) > 2
    assert all(ElementTree.fromstring(piece) is not None for piece in pieces)
    assert sum("<msqrt>" in piece and "</msqrt>" in piece for piece in pieces) == 1
    assert mathematics("a + b + c").count("<math>") == 1


def test_every_word_of_every_claim_is_shown():
    """The same letters and numbers in the same order, in elements that are well formed."""
    for name in STATEMENTS:
        for claim in claims(import_statement(name)):
            for words in (claim.id, claim.words, claim.falsified_by, claim.refuted_because):
                powers = re.sub(r"1e-0*(\d+)", r"10−\1", words)
                shown = "".join(ElementTree.fromstring(f"<p>{mathematics(words)}</p>").itertext())
                seen, meant = (
                    sorted(re.findall(r"\w", text.translate(_SAME).replace("⊤", "T")))
                    for text in (shown.replace("_", ""), powers.replace("_", ""))
                )
                assert seen == meant, words


def test_symbols_are_in_the_glossary():
    assert set(SYMBOLS.values()) <= set(GLOSSARY)
