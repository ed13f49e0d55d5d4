"""Text in CSV files, quoted where a spreadsheet would take it for a formula."""

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
