"""Made-up people for real orders: the same number always gives the same person, under a reserved domain."""

from __future__ import annotations

import unicodedata
from zlib import crc32

FIRST = (
    "Ada Amir Ana Anders Aisha Ben Björn Carla Chidi Chloé Daniel Dilnoza Elena Emeka Emil Fatima Felix Freya Gaël "
    "Grace Hana Hugo Ines Isaac Jamal Jana José Kaito Katya Lars Leila Liam Lucía Łukasz Maja Malik Mateo Mei Mira "
    "Nadia Nils Noor Olga Omar Paolo Priya Rosa Sami Sana Sean Sofia Tariq Tess Tomás Uma Vera Wei Yara Yusuf Zoë"
).split()
LAST = (
    "Abebe Adams Andersen Baker Bianchi Brown Castro Chen Costa Cruz Dahl Diaz Dubois Evans Fischer Flores Fontaine "
    "García Gupta Hansen Haddad Ito Ivanova Jansen Jones Kaya Kim Kowalski Kumar Lee Lopes Martin Meyer Mensah Mori "
    "Murphy Müller Nguyen Novak O'Brien Okafor Olsen Park Patel Pereira Quinn Rossi Saito Santos Schmidt Silva Singh "
    "Smith Tanaka Torres Ueda Varga Walker Wang Young Zhang"
).split()
ZONES = (
    ("America/New_York", "en_US"),
    ("America/Los_Angeles", "en_US"),
    ("America/Sao_Paulo", "pt_BR"),
    ("Europe/London", "en_GB"),
    ("Europe/Berlin", "de_DE"),
    ("Europe/Paris", "fr_FR"),
    ("Asia/Kolkata", "en_IN"),
    ("Asia/Tokyo", "ja_JP"),
)
PLANS = ("free", "free", "free", "plus", "plus", "pro")


def person(number: int) -> tuple[str, str, str, str, str]:
    """Email address, name, time zone, locale and plan of customer ``number``."""
    first = FIRST[_pick(number, "first", len(FIRST))]
    last = LAST[_pick(number, "last", len(LAST))]
    zone, locale = ZONES[_pick(number, "zone", len(ZONES))]
    plan = PLANS[_pick(number, "plan", len(PLANS))]
    return f"{_ascii(first)}.{_ascii(last)}.{number}@example.com", f"{first} {last}", zone, locale, plan


def _pick(number: int, what: str, choices: int) -> int:
    return crc32(f"{what}:{number}".encode()) % choices


def _ascii(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name.replace("Ł", "L"))
    return "".join(letter for letter in letters.lower() if letter.isascii() and letter.isalpha())
