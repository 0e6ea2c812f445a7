"""What the parts have in common: the frame of a run, and tables."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.servers import Server


@dataclass(frozen=True)
class Bench:
    """How to measure, and what."""

    folder: Path
    """Where servers get their folders; its file system is the one that is measured."""
    peers: Sequence[type[Server]]
    runs: int
    scale: float = 1.0
    """Part of the full number of messages, sessions and seconds."""
    only: Sequence[str] = ()

    def wanted(self, name: str) -> bool:
        """Whether to measure what is called so: without a choice, everything."""
        return not self.only or any(word in name for word in self.only)

    def say(self, progress: str) -> None:
        print(progress, file=sys.stderr, flush=True)

    @contextmanager
    def folder_for(self) -> Iterator[Path]:
        """A new folder for a server, gone afterwards; open to servers that work under their own user."""
        with tempfile.TemporaryDirectory(prefix="bench.", dir=self.folder) as folder:
            Path(folder).chmod(0o755)
            yield Path(folder)

    @contextmanager
    def servers(self) -> Iterator[list[Server]]:
        """All servers, running, each in a new folder that is gone afterwards."""
        with ExitStack() as stack:
            servers: list[Server] = []
            for peer in self.peers:
                server = peer(stack.enter_context(self.folder_for()))
                stack.enter_context(server.running())
                servers.append(server)
            yield servers


def ratio(figures: Mapping[str, float], ours: str, theirs: str) -> str:
    """How many times theirs ours is; a dash when one of them was not measured."""
    return f"{figures[ours] / figures[theirs]:.1f}" if {ours, theirs} <= figures.keys() else "-"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table that is also readable as it stands: names to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    rule = [("-" * width if not index else "-" * (width - 1) + ":") for index, width in enumerate(widths)]
    return "".join(_line(cells, widths) for cells in (heads, rule, *rows))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = (
        cell.rjust(width) if index else cell.ljust(width)
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "| " + " | ".join([first, *rest]) + " |\n"
