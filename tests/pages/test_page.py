"""Pages are whole, load nothing, and show what came from elsewhere as text."""

from __future__ import annotations

import re

from ultraface_deploy.pages.page import facts, gallery, page, picture, section, table


def test_everything_that_is_given_is_text_or_in_the_page() -> None:
    shown = page(
        "a <b>",
        section("c & d", facts({"some_name": {"e": [1, "<f>"]}, "empty": "", "none": None})),
        "",
        table(["name", "<n>"], [("<em>row</em>", ["<1>"])]),
        picture('"g"', b"<svg/>"),
        gallery([("<h>", b"jpeg")]),
    )
    assert shown.count("a &lt;b&gt;") == 2  # the title and the heading
    for text in ("c &amp; d", "e 1, &lt;f&gt;", "&lt;n&gt;", "<em>row</em>", "&lt;1&gt;"):
        assert text in shown
    assert "&quot;g&quot;" in shown and shown.count("&lt;h&gt;") == 2
    assert "some name" in shown and "empty" not in shown and "none" not in shown
    assert not re.search(r"(src|href)=\"(?!data:)", shown) and "<script" not in shown


def test_control_characters_are_shown() -> None:
    assert "\x1b" not in page("red \x1b[31m") and r"\x1b" in page("red \x1b[31m")


def test_no_pictures_are_no_gallery() -> None:
    assert gallery([]) == ""
