"""HTML elements as strings, with escaping."""

from collections.abc import Iterable
from html import escape

from leo_agents.evaluation.report_text import percent


def element(name: str, content: str = "", **attributes: object) -> str:
    """
    Build an element.

    :param name: name of the element
    :param content: markup inside the element
    :param attributes: attributes by name; underscores become dashes, a trailing one is dropped, None omits the attribute

    Example::

        >>> element("p", text("a < b"), class_="note", data_sort=3)
        '<p class="note" data-sort="3">a &lt; b</p>'
    """
    rendered = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{rendered}>{content}</{name}>"


def text(content: object) -> str:
    """Convert any object to escaped text."""
    return escape(str(content))


def card(title: str, *parts: str, note: str = "", id_: str | None = None) -> str:
    """
    Build a section.

    :param title: title of the section
    :param parts: markup of its content
    :param note: text below the title
    :param id_: id for links
    """
    head = element("h2", text(title)) + (element("p", text(note), class_="note") if note else "")
    return element("section", head + "\n".join(parts), class_="card", id=id_)


def table(header: Iterable[str], rows: Iterable[Iterable[str]], **attributes: object) -> str:
    """
    Build a table that scrolls horizontally if it is too wide.

    :param header: markup of the column titles
    :param rows: markup of the cells
    :param attributes: attributes of the table
    """
    head = element("tr", "".join(element("th", cell, scope="col") for cell in header))
    body = "\n".join(element("tr", "".join(element("td", cell) for cell in row)) for row in rows)
    return element("div", element("table", element("thead", head) + element("tbody", body), **attributes), class_="scroll")


def with_interval(rate: float, interval: tuple[float, float] | None, digits: int = 1) -> str:
    """
    Format a rate and its interval as percentages.

    :param rate: between 0 and 1, or NaN
    :param interval: lower and upper bound, if known
    :param digits: number of decimals
    """
    if interval is None:
        return percent(rate, digits)
    low, high = (f"{100 * bound:.{digits}f}" for bound in interval)
    return f'{percent(rate, digits)} <span class="interval">{low} to {high}</span>'
