"""What was measured, as one table: rates, ratios and what was asked of them."""

from __future__ import annotations

import os
import platform
import statistics
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.measure import Measured

PLAIN, CEILING, NAIVE = "(a) plain script", "(d) ceiling: render + POST", "(c) Airflow task per person"


def ours(shards: int, *, whole: bool) -> str:
    """The name of our way."""
    return f"(b) ours, {shards} shard{'s' * (shards > 1)}, {'whole run' if whole else 'send alone'}"


@dataclass
class Results:
    """Rates (mails a second) of each way, one for each repetition, and client CPU in microseconds a mail."""

    rates: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    cpu: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, way: str, *parts: Measured) -> None:
        """One repetition, made of stages that follow each other and each handled the same people."""
        number = parts[-1].number
        self.rates[way].append(number / sum(part.seconds for part in parts))
        self.cpu[way].append(1e6 * sum(part.cpu for part in parts) / number)

    def ratio(self, way: str, to: str) -> float:
        """The median of the ratios of the same repetition: noise that both felt cancels out."""
        return statistics.median(a / b for a, b in zip(self.rates[way], self.rates[to], strict=True))


def machine() -> str:
    """Where it was measured."""
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def lines(results: Results, naive: float | None) -> list[str]:
    """The table's rows, in Markdown."""
    rows = ["| way | mails/s | client CPU, µs a mail | × (a) | × (d) | × (c) |", "|---|---:|---:|---:|---:|---:|"]
    for way, rates in results.rates.items():
        rate, cpu = statistics.median(rates), statistics.median(results.cpu[way])
        of_naive = f"{rate * naive:,.0f}" if naive else "–"
        ratios = f"{results.ratio(way, PLAIN):.2f} | {results.ratio(way, CEILING):.2f}"
        rows.append(f"| {way} | {rate:,.0f} | {cpu:.0f} | {ratios} | {of_naive} |")
    if naive:
        rows.append(f"| {NAIVE} | {1 / naive:,.1f} | | | | 1 |")
    return rows
