from __future__ import annotations

from hitherto.demo.page import Markup, badge, element, escaped, folded, joined, page, section, table, tile

NASTY = "<script>alert('\"x\"')</script>&"


def test_everything_that_is_no_markup_is_escaped():
    parts = [
        element("p", NASTY, title=NASTY),
        badge(NASTY, NASTY),
        tile(NASTY, NASTY),
        table((NASTY, f">{NASTY}"), [(NASTY, NASTY)]),
        section(NASTY, NASTY, NASTY),
        folded(NASTY, NASTY, opened=True),
        joined([NASTY, NASTY], NASTY),
    ]
    text = page(NASTY, *parts, NASTY)
    assert "<script" not in text
    assert "alert('" not in text
    assert text.count("&lt;script&gt;") > 15


def test_markup_is_taken_as_it_is():
    assert escaped(Markup("<b>")) == "<b>"
    assert element("p", Markup("<b>x</b>"), "<") == "<p><b>x</b>&lt;</p>"


def test_a_column_of_numbers_is_set_to_the_right():
    made = table(("name", ">count"), [("a", "1")])
    assert '<th>name</th><th class="number">count</th>' in made
    assert '<td>a</td><td class="number">1</td>' in made


def test_a_page_loads_nothing_and_says_so():
    text = page("t", element("p", "x"))
    assert "default-src &#x27;none&#x27;" in text
    assert "prefers-color-scheme: dark" in text
    assert not any(word in text for word in ("http:", "https:", "@import", "url(", "<link", "src="))
