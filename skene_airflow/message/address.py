"""Header values and addresses: nothing a person or a loop writes can add a header or a recipient."""

from __future__ import annotations

import re
from email.utils import parseaddr

import idna

from skene_airflow.errors import SkeneError

SUBJECT_CAP = 255
# C0, C1, line and paragraph separators, bidirectional controls, byte order mark, lone surrogates.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]+")
_SPACES = re.compile(r"\s{2,}")
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_ATOM_TEXT = re.compile(r"[A-Za-z0-9 !#$%&'*+/=?^_`{|}~\-]*")


class InvalidAddress(SkeneError):
    """The address is not exactly one `local@domain`; mend it where it is stored."""


def clean_line(text: str, cap: int | None = None) -> str:
    """Return the text as one line without control characters, cut to ``cap`` characters if that is given."""
    plain = text.isascii() and text.isprintable()
    if not plain:
        text = _CONTROLS.sub(" ", text)
    # The only space among ASCII's printable characters is the space itself.
    text = _SPACES.sub(" ", text).strip() if not plain or "  " in text else text.strip()
    if cap is not None and len(text) > cap:
        return text[: cap - 1].rstrip() + "…"
    return text


def one_address(text: str) -> str:
    """Return the one ``local@domain`` in the text, its domain as ASCII (IDNA). Raises InvalidAddress.

    Quoted local parts, comments, domain literals and local parts outside ASCII are refused: most providers
    refuse a whole batch for one of them.
    """
    local, at, domain = text.strip(" \t").rpartition("@")
    if not at or len(local) > 64 or not _LOCAL.fullmatch(local):
        raise InvalidAddress
    ascii_domain = _ascii_domain(domain)
    if len(local) + 1 + len(ascii_domain) > 254:
        raise InvalidAddress
    return f"{local}@{ascii_domain}"


def one_mailbox(text: str) -> str:
    """Return ``Name <local@domain>``, or the bare address if there is no name. Raises InvalidAddress."""
    line = clean_line(text)
    if "<" not in line:
        return one_address(line)
    name, _, rest = line.rpartition("<")
    if not rest.endswith(">"):
        raise InvalidAddress
    address = one_address(rest[:-1])
    return _with_name(_display_name(name.strip(), address), address)


def _display_name(name: str, address: str) -> str:
    if name.startswith('"'):
        shown, parsed = parseaddr(f"{name} <{address}>")
        if parsed != address:
            raise InvalidAddress
        return shown
    if any(char in name for char in '<>"'):
        raise InvalidAddress
    return name


def _with_name(name: str, address: str) -> str:
    if not name:
        return address
    if name.isascii() and not _ATOM_TEXT.fullmatch(name):
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}" <{address}>'
    if not name.isascii() and any(char in name for char in ',;:@()[]\\"'):
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}" <{address}>'
    return f"{name} <{address}>"


def _ascii_domain(domain: str) -> str:
    if domain.isascii():
        plain = domain
    else:
        try:
            plain = idna.encode(domain, uts46=True).decode("ascii")
        except idna.IDNAError:
            raise InvalidAddress from None
    labels = plain.split(".")
    if len(plain) > 253 or len(labels) < 2 or not all(_LABEL.fullmatch(label) for label in labels):
        raise InvalidAddress
    if labels[-1].isdigit():
        raise InvalidAddress
    return plain.lower()
