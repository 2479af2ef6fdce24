"""How values are shown in a notebook."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


class Shown:
    """A value that notebooks show as its `to_text`."""

    __slots__ = ()

    def to_text(self) -> str:
        """The value as text."""
        return repr(self)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.to_text())}</pre>"


def table_html(title: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A small HTML table with a title; all texts are escaped.

    Examples
    --------
    >>> table_html("a < b", ["n"], [[3]])
    '<p><b>a &lt; b</b></p><table><thead><tr><th>n</th></tr></thead><tbody><tr><td>3</td></tr></tbody></table>'
    """

    def line(cells: Sequence[object], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(line(row, "td") for row in rows)
    return (
        f"<p><b>{html.escape(title)}</b></p><table><thead>{line(header, 'th')}</thead>"
        f"<tbody>{body}</tbody></table>"
    )
