"""The hook that typesets formulas of the site."""

from docs.mathematics import on_page_content


def test_formulas_become_mathml_and_wide_ones_scroll():
    page = (
        r'<p>at <span class="arithmatex">\(\lambda &lt; 1\)</span></p>'
        r'<div class="arithmatex">\[\theta_{t+1} = G(\theta_t)\]</div>'
    )
    seen = on_page_content(page)

    assert "arithmatex" not in seen
    assert seen.count("<math") == 2
    assert seen.count("overflow-x: auto") == 1
    assert "<mi>&#x003BB;</mi>" in seen
    assert on_page_content("<p>no formula</p>") == "<p>no formula</p>"
