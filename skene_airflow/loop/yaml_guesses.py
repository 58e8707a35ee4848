"""What somebody most likely did where YAML's scanner gave up: each guess looks at the lines, and may know nothing."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeAlias

import yaml

from skene_airflow.loop import codes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Found: TypeAlias = tuple[int, int, str, str, str]
"""Line, column, code, message, suggestion."""

# What looks like a space or a colon, and is none for YAML.
_LOOK_ALIKE: Final = re.compile("(?:(?<=^)|(?<=^ )|(?<=:)|(?<=  ))[\u00a0\u2002-\u200a\u202f\u3000]|(?<=\\w)\uff1a")
_CONFLICT: Final = re.compile(r"^(?:<{7} |>{7} )", re.MULTILINE)
_TYPESCRIPT: Final = re.compile(r"^(?:export default|module\.exports|import .* from|const \w+ =)", re.MULTILINE)
_PYTHON: Final = re.compile(r"^(?:from [\w.]+ import |import \w+$|with .*:$|def \w+\()", re.MULTILINE)
_SQL_COMMENT: Final = re.compile(r"""^[^'"]*\b(select|from|where|and|or|join)\b.*\S #""", re.IGNORECASE)
_SQL: Final = re.compile(
    r"\s*(?:\w+: )?(?:select|from|where|and|or|join|left|inner|group|order|limit|having|with)\b", re.IGNORECASE
)
_KEY: Final = re.compile(r"(\s*(?:- +)*)([\w.-]+|\"[^\"]*\"):(?:\s|$)")
_GLUED: Final = re.compile(r"(\s*(?:- )*)(\w+)(?::(?=\S)|\s*=\s*)(\S.*)")
_BLOCK: Final = re.compile(r":\s*[|>][-+0-9]*\s*(?:#.*)?$")
_LONGEST: Final = 60
_WIDEST: Final = 2_000
_FAR: Final = 2_000


@dataclass(frozen=True)
class Complaint:
    """What the scanner says and where; ``other``: the second place it names, where the trouble began or was seen."""

    problem: str
    line: int
    column: int
    other: tuple[int, int] | None
    text: str

    @cached_property
    def lines(self) -> list[str]:
        """The lines of the file."""
        return self.text.split("\n")

    def above(self) -> range:
        """The numbers of the lines above the complaint, nearest first, as far as it is worth looking."""
        return range(self.line - 1, max(self.line - _FAR, 0), -1)

    @property
    def here(self) -> str:
        """The line of the complaint."""
        return self.at(self.line)

    def at(self, number: int) -> str:
        """The beginning of a line of the file, as much as people write; empty outside of it."""
        lines = self.lines
        return lines[number - 1][:_WIDEST] if 0 < number <= len(lines) else ""

    @property
    def sign(self) -> str:
        """The character of the complaint."""
        return self.here[self.column - 1 : self.column]

    @property
    def rest(self) -> str:
        """The value that begins at the complaint."""
        begins = self.column - 2 if self.here[self.column - 2 : self.column] == "{%" else self.column - 1
        return self.here[begins:].split(" #")[0].strip()


def quoted(value: str) -> str:
    """The advice to quote a value, with the value where it is short."""
    if not value or len(value) > _LONGEST or "'" in value:
        return "quote the value"
    return f"quote the value: '{value}'" if '"' in value else f'quote the value: "{value}"'


def _left_over(complaint: Complaint) -> Found | None:
    """Files that are no YAML, and were not meant to be."""
    for pattern, what, hint in (
        (_CONFLICT, "a merge conflict is left in the file", "keep one side, delete the three marks"),
        (
            _TYPESCRIPT,
            "this is TypeScript or JavaScript, not YAML",
            "`skene-airflow convert FILE` writes the YAML of a skene.config.ts",
        ),
        (_PYTHON, "this is Python, not YAML", "a loop is written as YAML; `skene-airflow new` begins one"),
    ):
        if found := pattern.search(complaint.text):
            return complaint.text.count("\n", 0, found.start()) + 1, 1, codes.SYNTAX, what, hint
    return None


def _indentation(complaint: Complaint) -> Found | None:
    """Tabs, and spaces and colons that are none."""
    for number in (complaint.line, complaint.line - 1):
        here = complaint.at(number)
        indent = here[: len(here) - len(here.lstrip())]
        if "\t" in indent and number == complaint.line:
            return number, indent.index("\t") + 1, codes.TAB, "a tab stands in the indentation", "indent with spaces"
        if found := _LOOK_ALIKE.search(here):
            sign = found.group()
            what = f"the {unicodedata.name(sign).lower()} (U+{ord(sign):04X}) is not what it looks like"
            hint = "write a plain ':'" if sign == "\uff1a" else "write a plain space"
            return number, found.start() + 1, codes.CONTROL, what, hint
    return None


def _cut(complaint: Complaint) -> Found | None:
    """SQL that YAML ended at `` #``."""
    for number in (complaint.line, complaint.line - 1):
        if _SQL_COMMENT.search(here := complaint.at(number)):
            what = "YAML ends the SQL here, at ' #', and takes the rest for a comment"
            return number, here.index(" #") + 2, codes.CUT_SQL, what, "write the SQL below `query: |`"
    return None


def _dash(complaint: Complaint) -> Found | None:
    """``-key:`` where ``- key:`` was meant, in this line or somewhere above it."""
    for number in (complaint.line, *complaint.above()):
        if found := re.match(r"(\s*)-(\w+):", complaint.at(number)):
            what, hint = "a space is missing behind the '-'", f"write `- {found[2]}:`"
            return number, len(found[1]) + 1, codes.SYNTAX, what, hint
    return None


def _open_quote(complaint: Complaint) -> Found | None:
    """A quote that was never closed, and so ended where the next one begins."""
    if "expected key" not in complaint.problem:
        return None
    last = None
    for token in _quotes(complaint.text):
        last = token
    if last is None or last.start_mark.line == last.end_mark.line or last.end_mark.line + 1 != complaint.line:
        return None
    what = f"this quote is closed by one in line {last.end_mark.line + 1} only, where another text should begin"
    return last.start_mark.line + 1, last.start_mark.column + 1, codes.SYNTAX, what, "close it"


def _quotes(text: str) -> Iterator[yaml.ScalarToken]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for token in yaml.scan(text, Loader=loader):
            if isinstance(token, yaml.ScalarToken) and token.style in ("'", '"'):
                yield token
    except yaml.YAMLError:
        return


def _behind(complaint: Complaint) -> Found | None:
    """Text behind a quote or bracket that closes the value."""
    before = complaint.here[: complaint.column - 1].rstrip()[-1:]
    if "expected key" not in complaint.problem or before not in ("'", '"', "]", "}"):
        return None
    place = (complaint.line, complaint.column, codes.SYNTAX)
    if complaint.sign in ("}", "]"):
        return *place, f"there is one '{complaint.sign}' too many", "delete it"
    hint = {
        "'": "write '' for an apostrophe within single quotes, or put the value in double quotes",
        '"': 'write \\" for a quote within double quotes, or put the value in single quotes',
    }
    return *place, f"text stands behind the closing {before}", hint.get(before, "quote the whole value")


def _glued(complaint: Complaint) -> Found | None:
    """``key:value`` and ``key = value``."""
    if not any(part in complaint.problem for part in ("expected key", "expected ':'", "expected '-'")):
        return None
    found = _GLUED.match(complaint.here)
    if found is None:
        return None
    equals = complaint.here[found.end(2) :].lstrip().startswith("=")
    what = "YAML writes ': ' between a key and its value" if equals else "a space is missing behind the ':'"
    return complaint.line, len(found[1]) + 1, codes.SYNTAX, what, f"write `{found[2]}: {found[3][:40]}`"


def _deeper(complaint: Complaint) -> Found | None:
    """A key below a key that has its value already."""
    if "mapping values" not in complaint.problem:
        return None
    found = _KEY.match(complaint.here)
    above = next((n for n in complaint.above() if complaint.at(n).strip()), 0)
    over = _KEY.match(complaint.at(above))
    if found is None or found.end(2) + 1 != complaint.column or over is None or len(over[1]) >= len(found[1]):
        return _colon_in_a_value(complaint)
    what = f"'{found[2]}' is indented deeper than '{over[2]}' in line {above}, which has a value of its own"
    hint = f"begin it in column {len(over[1]) + 1}, as '{over[2]}' does, or delete that value"
    return complaint.line, len(found[1]) + 1, codes.SYNTAX, what, hint


def _colon_in_a_value(complaint: Complaint) -> Found | None:
    found = _KEY.match(complaint.here)
    if found is None:
        return None
    value = complaint.here[found.end() :]
    is_sql = _SQL.match(value) is not None
    hint = f"write the SQL below `{found[2]}: |`" if is_sql else quoted(value.split(" #")[0].strip())
    what = "a ': ' within a value ends it"
    return complaint.line, complaint.column, codes.SYNTAX, what, hint


def _below_a_block(complaint: Complaint) -> Found | None:
    """A line that belongs to the text above, and is not indented deeper than its key."""
    if "expected key" not in complaint.problem and "expected ':'" not in complaint.problem:
        return None
    above = next((n for n in complaint.above() if complaint.at(n).strip()), 0)
    key = _KEY.match(complaint.at(above))
    is_block = _BLOCK.search(complaint.at(above)) is not None
    if key is None or not (is_block or (_SQL.match(complaint.here) and _SQL.match(complaint.at(above)[key.end(1) :]))):
        return None
    column = len(complaint.here) - len(complaint.here.lstrip()) + 1
    what = f"this line is not indented deeper than '{key[2]}', whose text it goes on with"
    below = "" if is_block else f" below `{key[2]}: |`"
    hint = f"write the text{below} with {len(key[1]) + 2} spaces before each line"
    return complaint.line, column, codes.SYNTAX, what, hint


def _between(complaint: Complaint) -> Found | None:
    """A line whose indentation is none of those above it."""
    indent = len(complaint.here) - len(complaint.here.lstrip(" "))
    if "expected key" not in complaint.problem or complaint.column != indent + 1:
        return None
    above = list(_open_blocks(complaint))
    if not above or any(column == indent for column, _ in above):
        return None
    places = " and ".join(f"{column} (line {line})" for column, line in above[:2])
    what = f"this line is indented by {indent} spaces, and the keys above it by {places}"
    return complaint.line, complaint.column, codes.SYNTAX, what, "begin it in the column of the keys it belongs to"


def _open_blocks(complaint: Complaint) -> Iterator[tuple[int, int]]:
    """The indentations of the keys above that a line can go on with, innermost first, each with its nearest line."""
    lowest = 10_000
    for number in complaint.above():
        found = _KEY.match(complaint.at(number))
        if found is not None and len(found[1]) < lowest:
            lowest = len(found[1])
            yield lowest, number


def _not_closed(complaint: Complaint) -> Found | None:
    """A missing comma, where the bracket itself stands alone in its line or the trouble is seen in the same line."""
    if "expected ',' or" not in complaint.problem or complaint.other is None:
        return None
    line, column = complaint.other
    bracket = complaint.here[complaint.column - 1 :].strip()
    if complaint.line != line and bracket not in ("{", "["):
        return None
    if line >= len(complaint.lines) and not complaint.at(line).strip():
        return None
    hint = f"write a ',' before this, or close the '{complaint.sign}' of line {complaint.line}"
    return line, column, codes.SYNTAX, "a ',' is missing, or the bracket is not closed", hint


def _no_value(complaint: Complaint) -> Found | None:
    """A bracket or comma where a value should begin, or the end of the file behind an open bracket."""
    if "node content" not in complaint.problem:
        return None
    if complaint.sign and complaint.sign in "]},":
        what = f"a value is missing before the '{complaint.sign}'"
        return complaint.line, complaint.column, codes.SYNTAX, what, "write it, or delete what stands here"
    above = next((n for n in complaint.above() if complaint.at(n).strip()), 0)
    opened = _unclosed(complaint.at(above))
    if opened is None:
        return None
    what = f"this '{complaint.at(above)[opened]}' is never closed"
    return above, opened + 1, codes.SYNTAX, what, "close it, or quote the value"


def _unclosed(line: str) -> int | None:
    """Where the last bracket of a line that the line does not close stands."""
    opened: list[int] = []
    for index, sign in enumerate(line):
        if sign in "[{":
            opened.append(index)
        elif sign in "]}" and opened:
            opened.pop()
    return opened[-1] if opened else None


def _first_is_indented(complaint: Complaint) -> Found | None:
    """A file whose first key alone is indented."""
    first = next(
        (n for n in range(1, min(complaint.line, _FAR)) if complaint.at(n).strip() and complaint.at(n)[0] != "#"), 0
    )
    indent = len(complaint.at(first)) - len(complaint.at(first).lstrip())
    if "<document start>" not in complaint.problem or not indent or complaint.column != 1:
        return None
    what = f"the first key is indented by {indent}, and line {complaint.line} is not"
    return first, 1, codes.SYNTAX, what, "begin the keys of the loop in the first column"


GUESSES: Final[tuple[Callable[[Complaint], Found | None], ...]] = (
    _left_over,
    _indentation,
    _cut,
    _open_quote,
    _behind,
    _dash,
    _glued,
    _deeper,
    _below_a_block,
    _between,
    _not_closed,
    _no_value,
    _first_is_indented,
)
"""Every guess, the surest first."""
