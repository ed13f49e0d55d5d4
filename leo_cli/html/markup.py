"""Elements of a page as text, escaped."""

from collections.abc import Iterable
from html import escape

import numpy as np


def element(name: str, content: str = "", **attributes: object) -> str:
    """
    :param name: of the element
    :param content: markup inside
    :param attributes: by name; underscores become dashes, ``class_`` loses its own, None leaves one out
    :return: markup

    Example::

        >>> element("p", text("a < b"), class_="note", data_sort=3)
        '<p class="note" data-sort="3">a &lt; b</p>'
    """
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{said}>{content}</{name}>"


def text(content: object) -> str:
    """
    :param content: anything
    :return: it as text in a page
    """
    return escape(str(content))


def card(title: str, *parts: str, note: str = "", id_: str | None = None) -> str:
    """
    :param title: of a section
    :param parts: markup
    :param note: a sentence below the title
    :param id_: to link to
    :return: the section
    """
    head = element("h2", text(title)) + (element("p", text(note), class_="note") if note else "")
    return element("section", head + "\n".join(parts), class_="card", id=id_)


def table(header: Iterable[str], rows: Iterable[Iterable[str]], **attributes: object) -> str:
    """
    :param header: markup of the titles
    :param rows: markup of the cells
    :param attributes: of the table
    :return: a table that scrolls sideways where it must
    """
    head = element("tr", "".join(element("th", cell, scope="col") for cell in header))
    body = "\n".join(element("tr", "".join(element("td", cell) for cell in row)) for row in rows)
    return element("div", element("table", element("thead", head) + element("tbody", body), **attributes), class_="scroll")


def percent(rate: float, digits: int = 0) -> str:
    """
    :param rate: from 0 to 1, or NaN
    :param digits: behind the point
    :return: for people
    """
    return "-" if np.isnan(rate) else f"{100 * rate:.{digits}f} %"


def with_interval(rate: float, interval: tuple[float, float] | None, digits: int = 1) -> str:
    """
    :param rate: from 0 to 1
    :param interval: around it, if known
    :param digits: behind the point
    :return: markup
    """
    if interval is None:
        return percent(rate, digits)
    low, high = (f"{100 * end:.{digits}f}" for end in interval)
    return f'{percent(rate, digits)} <span class="interval">{low} to {high}</span>'
