"""Quotes in delimited text: which of them open and close fields, and whether they do so at all.

CSV lets a quoted field hold separators and line breaks. Other programs write quotes as ordinary
characters. Read as CSV, such a file can lose rows: everything between two stray quotes becomes one
field. ``Evidence`` collects, chunk by chunk, what tells both kinds of files apart.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_NEWLINE, _RETURN, _QUOTE = b'\n\r"'
_BLANKS = b" \t"


class Marks(NamedTuple):
    """The quotes that open and close fields.

    ``at``: their places, alternately opening and closing; the two of a doubled quote may be among
    them. ``clean``: every quote of the text is of this kind, and a separator or a line break
    follows each field.
    """

    at: npt.NDArray[np.int64]
    clean: bool


def quote_marks(data: bytes, separator: str, *, padded: bool = False) -> Marks:
    """The marks of text that starts outside of a field.

    A quote opens a field at its start only; elsewhere it is an ordinary character, as in 5" disk.

    Args:
        data: The text.
        separator: One character.
        padded: Blanks may stand before a quoted field.
    """
    cut = ord(separator)
    text = np.frombuffer(data, dtype=np.uint8)
    at = np.flatnonzero(text == _QUOTE)
    before = text[np.maximum(at - 1, 0)][0::2]
    after = text[np.minimum(at + 1, len(text) - 1)][1::2]
    opens = (before == cut) | (before == _NEWLINE) | (before == _QUOTE) | (at[0::2] == 0)
    closes = (after == cut) | (after == _NEWLINE) | (after == _QUOTE)
    if not closes.all():  # "\r\n" ends a line too
        second = text[np.minimum(at[1::2] + 2, len(text) - 1)]
        closes |= (after == _RETURN) & ((second == _NEWLINE) | (at[1::2] + 2 >= len(text)))
    if opens.all() and closes.all() and not len(at) % 2:
        return Marks(at, clean=True)
    return _marks_one_by_one(data, at.tolist(), cut, padded)


def _marks_one_by_one(data: bytes, quotes: list[int], cut: int, padded: bool) -> Marks:
    marks: list[int] = []
    clean, doubled = True, -1
    for at in quotes:
        if at == doubled:
            continue
        if len(marks) % 2:
            if data[at + 1 : at + 2] == b'"':
                doubled = at + 1
                continue
            marks.append(at)
            clean &= data[at + 1 : at + 2] in (b"", b"\n", bytes([cut])) or (
                data[at + 1 : at + 3] in (b"\r", b"\r\n")
            )
            continue
        start = at
        while padded and start and data[start - 1] in _BLANKS and data[start - 1] != cut:
            start -= 1
        if start == 0 or data[start - 1] in (cut, _NEWLINE):
            marks.append(at)
            clean &= start == at
        else:
            clean = False
    return Marks(np.array(marks, dtype=np.int64), clean and not len(marks) % 2)


class QuotedRecordEnd:
    """``record_end`` for :func:`~atjt_ext.data.readers.streams.chunks` of CSV: a line break between
    quotes ends no record.

    Attributes:
        quotes: Whether the data of the last call had quotes.
        met: Whether the data of any call had quotes.
    """

    def __init__(self, separator: str, *, padded: bool = False) -> None:
        self._separator, self._padded = separator, padded
        self.quotes, self.met = True, False

    def __call__(self, data: bytes) -> int:
        end = data.rfind(b"\n") + 1
        self.quotes = b'"' in data
        if not self.quotes:
            return end
        self.met = True
        at = quote_marks(data, self._separator, padded=self._padded).at
        while end:
            before = int(np.searchsorted(at, end - 1))
            if before % 2 == 0:
                break
            end = data.rfind(b"\n", 0, at[before - 1]) + 1
        return end


class Evidence:
    """What the quotes of a file tell, after :meth:`add` got all of its chunks.

    Attributes:
        fits: Whether every line has the right number of fields if quotes are ordinary characters.
        csv_only: Whether a line has the right number of fields only as CSV.
        spans: How many CSV records take more than one line.
        doubtful: How many of these could also be rows: their first line, their last and most
            of all have the right number of fields, and not every field is quoted.
        line: The first line of the first record that is doubtful.
    """

    def __init__(self, separator: str, width: int) -> None:
        self._separator, self._width = ord(separator), width
        self.fits, self.csv_only = True, False
        self.spans, self.doubtful, self.line = 0, 0, 0

    def add(self, data: bytes, marks: Marks, line: int) -> None:
        """Takes a chunk of whole records that has quotes, and the line on which it starts."""
        text = np.frombuffer(data, dtype=np.uint8)
        ends = np.flatnonzero(text == _NEWLINE)
        if not data.endswith(b"\n"):
            ends = np.append(ends, len(data))
        starts = np.append(0, ends[:-1] + 1)
        separators = np.searchsorted(np.flatnonzero(text == self._separator), ends)
        fits = np.diff(separators, prepend=0) == self._width - 1
        length = ends - starts
        blank = (length == 0) | ((length == 1) & (text[starts] == _RETURN))
        self.fits &= bool((fits | blank).all())
        inside = np.searchsorted(marks.at, ends) % 2 == 1
        # The lines of each record: a line that ends inside of quotes goes on in the next.
        first = np.flatnonzero(~np.append(False, inside[:-1]))
        lines = np.diff(first, append=len(ends))
        last, spans = first + lines - 1, lines > 1
        self.csv_only |= bool((~(fits | blank)[first] & ~spans).any())
        if not spans.any():
            return
        most = 2 * np.add.reduceat(fits.astype(np.int64), first) > lines
        opening = marks.at[0::2]
        # The second of a doubled quote opens no field.
        opening = opening[(opening == 0) | (text[np.maximum(opening - 1, 0)] != _QUOTE)]
        quoted = np.diff(np.searchsorted(opening, ends[last]), prepend=0) == self._width
        doubtful = spans & fits[first] & fits[last] & most & ~quoted
        if doubtful.any() and not self.doubtful:
            self.line = line + int(first[doubtful.argmax()])
        self.spans += int(spans.sum())
        self.doubtful += int(doubtful.sum())
