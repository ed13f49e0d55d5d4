"""CSV files: reading, and text that is quoted where a spreadsheet would take it for a formula."""

import csv
import os
from collections.abc import Iterator
from contextlib import contextmanager

from leo_wrappers.validation import check_path

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def quote_text(text: str) -> str:
    """
    Put an apostrophe before text that a spreadsheet would evaluate; :func:`unquote_text` removes it.

    :param text: a cell that is not a number
    :return: the cell

    Example::

        >>> quote_text("=1+1"), unquote_text(quote_text("=1+1")), quote_text("cell/0,0")
        ("'=1+1", '=1+1', 'cell/0,0')
    """
    return f"'{text}" if text.lstrip("'").startswith(_FORMULA) else text


def unquote_text(cell: str) -> str:
    """
    Undo :func:`quote_text`.

    :param cell: the cell
    :return: the text
    """
    return cell[1:] if cell.startswith("'") and cell.lstrip("'").startswith(_FORMULA) else cell


def read_table(path: str | os.PathLike[str]) -> list[list[str]]:
    """
    Read a CSV file.

    :param path: the file
    :return: its rows
    """
    check_path("path", path)
    with named_errors(path), open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


@contextmanager
def named_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """
    Name the file in the errors of reading it and of converting its cells.

    :param path: the file
    """
    try:
        yield
    except (ValueError, TypeError, OverflowError, csv.Error) as error:
        raise ValueError(f"expected a CSV file that this library wrote, got {path} ({error}); restore or delete it") from error
