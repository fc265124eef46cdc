"""The effects file: what truly ran, counted outside every queue."""

import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ENTRY = struct.Struct("<qq")


@dataclass(frozen=True)
class Count:
    """Which of the jobs `0 .. expected - 1` ran how often."""

    expected: int
    runs: int
    lost: int
    repeated: int

    @property
    def exact(self) -> bool:
        return not self.lost and not self.repeated and self.runs == self.expected


class Effects:
    """Handlers append (job number, monotonic nanoseconds); this side only reads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(b"")

    def runs(self) -> int:
        return self.path.stat().st_size // ENTRY.size

    def entries(self) -> list[tuple[int, int]]:
        return list(ENTRY.iter_unpack(self.path.read_bytes()))  # type: ignore[arg-type]

    def distinct(self) -> int:
        return len({number for number, _ in self.entries()})

    def count(self, expected: int) -> Count:
        times = Counter(number for number, _ in self.entries())
        known = sum(1 for number in times if 0 <= number < expected)
        return Count(expected, times.total(), expected - known, times.total() - len(times))

    def span(self) -> tuple[float, float]:
        """Seconds of the first and the last run, on the monotonic clock."""
        moments = [moment for _, moment in self.entries()]
        return min(moments) / 1e9, max(moments) / 1e9

    def first_runs(self) -> dict[int, int]:
        seen: dict[int, int] = {}
        for number, moment in self.entries():
            seen.setdefault(number, moment)
        return seen

    def repeated(self) -> list[int]:
        """The first moments of the jobs that ran more than once."""
        times = Counter(number for number, _ in self.entries())
        return [moment for number, moment in self.first_runs().items() if times[number] > 1]
