"""An HTML page that needs nothing from elsewhere: its style, light and dark, and the few elements that it is made of.

Everything that is not `Markup` is escaped; only this module and the charts make Markup.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
_STYLE = """
:root { color-scheme: light dark; --paper: #fbfbf9; --card: #ffffff; --ink: #1d2430; --soft: #5d6878; --line: #e1e4e8;
  --accent: #2463b5; --accent-soft: #b9d0ee; --good: #1a7f4b; --bad: #c02f3c; --warn: #9a6400;
  --good-soft: #ddf3e6; --bad-soft: #fbe1e3; --warn-soft: #fbeecf; }
@media (prefers-color-scheme: dark) { :root { --paper: #12161c; --card: #1a2029; --ink: #e4e8ee; --soft: #98a4b3;
  --line: #2d3642; --accent: #79aef2; --accent-soft: #2f4a6d; --good: #63cf95; --bad: #f28a92; --warn: #e3b558;
  --good-soft: #173526; --bad-soft: #452126; --warn-soft: #3d2f12; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 6px; letter-spacing: -0.01em; }
h2 { font-size: 19px; margin: 48px 0 4px; letter-spacing: -0.005em; }
h3 { font-size: 15px; margin: 22px 0 6px; }
p { margin: 4px 0 12px; max-width: 90ch; }
.why, .soft { color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 12px; margin: 24px 0 0; }
.tile, .card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 14px 16px; }
.tile b { display: block; font-size: 24px; line-height: 1.25; font-weight: 600; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; background: var(--card); margin: 8px 0 14px; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th, td { padding: 7px 12px; text-align: left; vertical-align: top; border-top: 1px solid var(--line); }
thead th { border-top: 0; color: var(--soft); font-weight: 500; font-size: 12.5px; white-space: nowrap; }
.number { text-align: right; white-space: nowrap; }
.badge { display: inline-block; border-radius: 99px; padding: 0 9px; font-size: 12px; line-height: 20px; white-space: nowrap;
  background: var(--line); }
.good { background: var(--good-soft); color: var(--good); } .bad { background: var(--bad-soft); color: var(--bad); }
.warn { background: var(--warn-soft); color: var(--warn); }
details { margin: 8px 0; } summary { cursor: pointer; padding: 4px 0; } summary b { font-weight: 600; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(230px, 1fr)); gap: 10px; margin: 8px 0 14px; }
.card h4 { font-size: 13.5px; margin: 0; font-weight: 600; overflow-wrap: anywhere; }
.card svg { margin: 8px 0 4px; } .card p { font-size: 12.5px; margin: 2px 0 0; color: var(--soft); font-variant-numeric: tabular-nums; }
code, pre { font: 12.5px/1.55 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 12px 16px; overflow-x: auto; }
svg { display: block; max-width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif; fill: var(--ink); }
svg .soft { fill: var(--soft); font-size: 11px; } svg .bar { fill: var(--accent); } svg .rest { fill: var(--accent-soft); }
svg .bar.bad { fill: var(--bad); } svg .bar.good { fill: var(--good); } svg .axis { stroke: var(--line); }
svg .node { fill: var(--card); stroke: var(--line); } svg .node.view { stroke: var(--accent); }
svg .arrow { fill: none; stroke: var(--soft); stroke-opacity: 0.45; }
footer { margin-top: 48px; color: var(--soft); font-size: 13px; }
"""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Content = str | Markup


def escaped(content: Content) -> Markup:
    """Content as HTML: Markup as it is, all else with every character that means something escaped.

    >>> escaped("a<b>")
    'a&lt;b&gt;'
    """
    return content if isinstance(content, Markup) else Markup(html.escape(content, quote=True))


def joined(parts: Iterable[Content], between: str = "\n") -> Markup:
    """Contents one after the other."""
    return Markup(html.escape(between).join(escaped(part) for part in parts))


def element(name: str, *contents: Content, **attributes: str) -> Markup:
    """An element; `class_` is the attribute class.

    >>> element("b", "1 < 2", class_="big")
    '<b class="big">1 &lt; 2</b>'
    """
    said = "".join(f' {key.rstrip("_").replace("_", "-")}="{html.escape(value)}"' for key, value in attributes.items())
    return Markup(f"<{name}{said}>{joined(contents, '')}</{name}>")


def badge(text: str, tone: str = "") -> Markup:
    """A word in a coloured pill."""
    return element("span", text, class_=f"badge {tone}".strip())


def tile(figure: str, words: str) -> Markup:
    """A figure and what it is."""
    return element("div", element("b", figure), element("span", words), class_="tile")


def table(heads: Sequence[str], rows: Iterable[Sequence[Content]]) -> Markup:
    """A table. A head that begins with ">" is of a column of numbers."""
    kinds = ["number" if head.startswith(">") else "" for head in heads]

    def line(name: str, cells: Sequence[Content]) -> Markup:
        pairs = zip(cells, kinds, strict=True)
        return element(
            "tr", *(element(name, cell, class_=kind) if kind else element(name, cell) for cell, kind in pairs)
        )

    top = element("thead", line("th", [head.removeprefix(">") for head in heads]))
    return element("div", element("table", top, element("tbody", *(line("td", row) for row in rows))), class_="scroll")


def section(title: str, why: str, *contents: Content) -> Markup:
    """A part of the page."""
    return element("section", element("h2", title), element("p", why, class_="why"), *contents)


def folded(head: Content, *contents: Content, opened: bool = False) -> Markup:
    """A part that opens on a click."""
    inside = joined([element("summary", head), *contents])
    return Markup(f"<details open>{inside}</details>") if opened else element("details", inside)


def page(title: str, *contents: Content) -> str:
    """The whole document."""
    head = (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(_POLICY)}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
    )
    return f"{head}<body>\n{element('main', joined(contents))}\n</body>\n</html>\n"
