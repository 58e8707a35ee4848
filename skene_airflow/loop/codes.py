"""One stable code per class of fault, with its title. A code is never reused for another meaning.

SK0xx the file and its keys · SK1xx values · SK2xx SQL · SK3xx templates (message/codes.py) · SK9xx later.
"""

from __future__ import annotations

from typing import Final

UNREADABLE: Final = "SK001"
ENCODING: Final = "SK002"
CONTROL: Final = "SK003"
SYNTAX: Final = "SK004"
TAB: Final = "SK005"
EMPTY: Final = "SK006"
TOO_LARGE: Final = "SK007"
TOO_DEEP: Final = "SK008"
DOCUMENTS: Final = "SK009"
DUPLICATE_KEY: Final = "SK010"
YAML_FEATURE: Final = "SK011"
UNKNOWN_KEY: Final = "SK012"
MISSING_KEY: Final = "SK013"
WRONG_TYPE: Final = "SK014"
UNKNOWN_WORD: Final = "SK015"
NOT_A_MAPPING: Final = "SK016"
REFUSED_SHAPE: Final = "SK017"
CUT_SQL: Final = "SK018"
SECRET: Final = "SK019"  # noqa: S105 - the code of a fault
LOOP_ID: Final = "SK020"
DUPLICATE_LOOP: Final = "SK021"

DURATION: Final = "SK101"
NOT_POSITIVE: Final = "SK102"
PERCENTAGE: Final = "SK103"
RATE: Final = "SK104"
CRON: Final = "SK105"
TIME_ZONE: Final = "SK106"
NAME: Final = "SK107"
RESERVED: Final = "SK108"
DUPLICATE_NAME: Final = "SK109"
RANGE: Final = "SK110"
BLANK: Final = "SK111"
ADDRESS: Final = "SK112"
CLOCK: Final = "SK113"
WEIGHTS: Final = "SK114"
IDENTIFIER: Final = "SK115"
STEP_ID: Final = "SK116"
TWO_ROOTS: Final = "SK117"
NO_CONDITION: Final = "SK118"
UNKNOWN_STEP: Final = "SK119"
NO_ROOT: Final = "SK120"
VALUE: Final = "SK121"
UNREACHABLE: Final = "SK122"
BANDS: Final = "SK123"
NO_GOAL: Final = "SK124"
NO_EVENT: Final = "SK125"
ALWAYS_QUIET: Final = "SK126"
NOBODY: Final = "SK127"
ORDER: Final = "SK128"

SQL_SYNTAX: Final = "SK201"
SQL_EMPTY: Final = "SK202"
SQL_SEVERAL: Final = "SK203"
SQL_NOT_SELECT: Final = "SK204"
SQL_WRITES: Final = "SK205"
SQL_LOCKS: Final = "SK206"
SQL_INTO: Final = "SK207"
SQL_PARAMETER: Final = "SK208"
SQL_JINJA: Final = "SK209"
SQL_TOO_COMPLEX: Final = "SK210"
SQL_NOT_UPDATE: Final = "SK211"
SQL_NO_SENT: Final = "SK212"
SQL_BOOLEAN: Final = "SK213"
SQL_COLUMN: Final = "SK214"
SQL_FOLDED: Final = "SK215"
AUDIENCE_NAME: Final = "SK216"
AUDIENCE_CYCLE: Final = "SK217"
AUDIENCE_HIDES: Final = "SK218"
GRAPHQL_SYNTAX: Final = "SK221"
GRAPHQL_SHAPE: Final = "SK222"
GRAPHQL_VARIABLE: Final = "SK223"

REFUSED_BY_AIRFLOW: Final = "SK900"

TITLES: Final[dict[str, str]] = {
    UNREADABLE: "The file cannot be read",
    ENCODING: "The file is not UTF-8",
    CONTROL: "An invisible character",
    SYNTAX: "Not YAML",
    TAB: "A tab in the indentation",
    EMPTY: "The file says nothing",
    TOO_LARGE: "The file is too large",
    TOO_DEEP: "Nested too deeply, or too many values",
    DOCUMENTS: "Several YAML documents in one file",
    DUPLICATE_KEY: "A key is written twice",
    YAML_FEATURE: "A YAML feature that loops do not use",
    UNKNOWN_KEY: "Unknown key",
    MISSING_KEY: "A key is missing",
    WRONG_TYPE: "Another kind of value belongs here",
    UNKNOWN_WORD: "Not one of the known words",
    NOT_A_MAPPING: "The file is not a map of keys",
    REFUSED_SHAPE: "A shape that loops refuse on purpose",
    CUT_SQL: "YAML cuts this SQL at ` #`",
    SECRET: "A secret in a loop file",
    LOOP_ID: "The file's name cannot be a loop id",
    DUPLICATE_LOOP: "Two files with one loop id",
    DURATION: "Not a duration",
    NOT_POSITIVE: "A duration that is zero or negative",
    PERCENTAGE: "Not a percentage",
    RATE: "Not a rate such as 2/7d",
    CRON: "Not a cron expression",
    TIME_ZONE: "Unknown time zone",
    NAME: "Not a name",
    RESERVED: "A reserved step id",
    DUPLICATE_NAME: "A name is used twice",
    RANGE: "A number out of range",
    BLANK: "An empty value",
    ADDRESS: "Not a mail address",
    CLOCK: "Not a time of day",
    WEIGHTS: "Weights that sum to zero",
    IDENTIFIER: "Not a table or column name",
    STEP_ID: "A step without an id",
    TWO_ROOTS: "Two root triggers in one file",
    NO_CONDITION: "A condition is missing",
    UNKNOWN_STEP: "No such step",
    NO_ROOT: "The first step has no root trigger",
    VALUE: "A value that does not fit",
    UNREACHABLE: "A segment that nobody can reach",
    BANDS: "Bands out of order",
    NO_GOAL: "`exit: goal` without a goal",
    NO_EVENT: "A condition that does not read the event",
    ALWAYS_QUIET: "The trigger fires in the quiet hours only",
    NOBODY: "Nobody would ever get a mail",
    ORDER: "Two times in the wrong order",
    SQL_SYNTAX: "The SQL does not parse",
    SQL_EMPTY: "The query is empty",
    SQL_SEVERAL: "More than one statement",
    SQL_NOT_SELECT: "Not a SELECT",
    SQL_WRITES: "The query writes",
    SQL_LOCKS: "The query locks rows",
    SQL_INTO: "SELECT INTO makes a table",
    SQL_PARAMETER: "Unknown parameter",
    SQL_JINJA: "Jinja in SQL",
    SQL_TOO_COMPLEX: "The query is too complicated",
    SQL_NOT_UPDATE: "Not an UPDATE",
    SQL_NO_SENT: "An UPDATE that does not join `sent`",
    SQL_BOOLEAN: "Not one boolean expression",
    SQL_COLUMN: "The query lacks a column",
    SQL_FOLDED: "YAML joins SQL lines behind a `--` comment",
    AUDIENCE_NAME: "The name of a named audience cannot be used in SQL",
    AUDIENCE_CYCLE: "Named audiences that read each other",
    AUDIENCE_HIDES: "A named audience and another relation have one name",
    GRAPHQL_SYNTAX: "Not GraphQL",
    GRAPHQL_SHAPE: "Not one list of people",
    GRAPHQL_VARIABLE: "A variable of the GraphQL document",
    REFUSED_BY_AIRFLOW: "Airflow refuses the loop",
}
