"""SQL put together from our words and the user's, which remembers where each of the user's pieces stands."""

from __future__ import annotations


class Text:
    """A growing statement. Pieces of the user's never change a character of ours, nor ours of theirs."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._theirs: list[tuple[int, int, str]] = []
        self._length = 0

    def ours(self, sql: str) -> Text:
        """Add SQL of our own."""
        self._pieces.append(sql)
        self._length += len(sql)
        return self

    def theirs(self, sql: str, what: str) -> Text:
        """Add a piece that the user wrote; ``what`` is what faults call it."""
        self._theirs.append((self._length, self._length + len(sql), what))
        return self.ours(sql)

    def __str__(self) -> str:
        return "".join(self._pieces)

    def find(self, position: str | None) -> tuple[str, int] | None:
        """The user's piece that a character (counted from 1) of the statement is in, and its place in that piece."""
        offset = int(position) - 1 if position else -1
        for start, end, what in self._theirs:
            if start <= offset <= end:
                return what, offset - start
        return None

    def piece(self, what: str) -> str:
        """The first of the user's pieces of this name, as it stands in the statement."""
        return next(str(self)[start:end] for start, end, name in self._theirs if name == what)

    def place(self, position: str | None) -> str:
        """Where a character is, in words: ` at line 2 of the query`; empty for a character of ours.

        A parameter that became a literal before it may shift the column, never the line.
        """
        found = self.find(position)
        if found is None:
            return ""
        what, offset = found
        return f" at line {self.piece(what)[:offset].count(chr(10)) + 1} of {what}"
