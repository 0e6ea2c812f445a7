"""What the counters said over the last minutes, and the rates that follow. Pure: figures in, figures out."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

KEPT: Final = 300
"""Samples that are kept."""

_BARS: Final = " ▁▂▃▄▅▆▇█"

Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Sample:
    """The counters at one moment, by the clock of this process."""

    when: float
    counts: Counts

    def sum(self, name: str) -> int:
        """A counter, or all values of a family together: `rejects` is `rejects.syntax` and so on."""
        alone = self.counts.get(name)
        if alone is not None:
            return alone
        return sum(count for key, count in self.counts.items() if key.startswith(f"{name}."))


class History:
    """The samples of the last minutes."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=KEPT)

    def add(self, sample: Sample) -> None:
        """A server that was started anew has counted less: then begin anew, too."""
        if self._samples and sample.sum("connections") < self._samples[-1].sum("connections"):
            self._samples.clear()
        self._samples.append(sample)

    def now(self, name: str) -> int:
        return self._samples[-1].sum(name) if self._samples else 0

    def rates(self, name: str) -> list[float]:
        """Per second, between each two samples, oldest first."""
        samples = list(self._samples)
        return [
            (after.sum(name) - before.sum(name)) / max(after.when - before.when, 1e-6)
            for before, after in pairwise(samples)
        ]

    def values(self, name: str) -> list[float]:
        """Of a gauge, oldest first."""
        return [float(sample.sum(name)) for sample in self._samples]

    def means(self, amount: str, number: str) -> list[float]:
        """How much of `amount` there was for each of `number`, between each two samples."""
        amounts, numbers = self.rates(amount), self.rates(number)
        return [part / whole if whole else 0.0 for part, whole in zip(amounts, numbers, strict=True)]


def graph(values: Sequence[float], width: int) -> str:
    """The last so many values as bars; the highest one is full, and what is not nothing can be seen."""
    shown = list(values[-width:])
    highest = max(shown, default=0.0)
    bars = [_bar(value / highest) if highest > 0 else _BARS[0] for value in shown]
    return "".join(bars).rjust(width)


def _bar(share: float) -> str:
    return _BARS[0] if share <= 0 else _BARS[max(1, round(share * (len(_BARS) - 1)))]
