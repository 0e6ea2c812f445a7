"""`mta top`: figures, keys and lines by themselves, then the whole in a terminal on a running server."""

from __future__ import annotations

import os
import re
import shlex
import smtplib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mta.cli.top.drawing import draw
from mta.cli.top.figures import KEPT, History, Sample, graph
from mta.cli.top.state import QUEUE, SESSIONS, Screen
from tests.conftest import needs
from tests.instance import CONFIGURATION, MTA, ROOT, Instance, eventually
from tests.instance import mta as run

Row = dict[str, Any]


def session(name: str, age: float = 1.0, **more: object) -> Row:
    row = {"session": name, "service": "smtp", "peer": "127.0.0.1:1", "phase": "INIT", "waits_for": "client"}
    return {**row, "age": age, **more}


def domain(name: str, letters: int, **more: object) -> Row:
    row = {"domain": name, "letters": letters, "next_attempt": 160.0, "now": 100.0, "connections": 0}
    return {**row, "window": 2, "pause": 0.0, "text": "their DNS does not answer", **more}


# figures


def history(*counts: dict[str, int]) -> History:
    made = History()
    for when, each in enumerate(counts):
        made.add(Sample(float(2 * when), each))
    return made


def test_rates_are_per_second_and_families_are_summed() -> None:
    seen = history({"rejects.a": 0, "rejects.b": 1}, {"rejects.a": 4, "rejects.b": 3}, {"rejects.a": 4})
    assert seen.rates("rejects") == [3.0, -1.5]
    assert seen.now("rejects") == 4


def test_a_server_started_anew_begins_a_new_history() -> None:
    assert history({"connections": 9}, {"connections": 12}, {"connections": 1}).rates("connections") == []


def test_means_are_over_what_was_counted_between_two_looks() -> None:
    seen = history({"t": 0, "n": 0}, {"t": 90, "n": 3}, {"t": 90, "n": 3})
    assert seen.means("t", "n") == [30.0, 0.0]


def test_only_so_many_samples_are_kept() -> None:
    assert len(history(*({"n": n} for n in range(KEPT + 9))).values("n")) == KEPT


@pytest.mark.parametrize(
    ("values", "drawn"), [([], "    "), ([0, 0], "    "), ([1, 8, 0.01], " ▁█▁"), ([9, 4, 4, 4, 4], "████")]
)
def test_a_graph_shows_the_last_values_by_the_highest_of_them(values: list[float], drawn: str) -> None:
    assert graph(values, 4) == drawn


# keys


def screen(*sessions: Row, queue: tuple[Row, ...] = ()) -> Screen:
    made = Screen()
    made.rows[SESSIONS.title] = list(sessions)
    made.rows[QUEUE.title] = list(queue)
    return made


def press(on: Screen, *keys: str) -> Row | None:
    """What the last of these keys asks of the server."""
    asked = None
    for key in keys:
        asked = on.press(key)
    return asked


def test_a_session_is_dropped_after_a_question() -> None:
    seen = screen(session("a", age=1), session("b", age=9))
    assert press(seen, "j", "d") is None
    assert seen.confirming == "a"
    assert press(seen, "n") is None
    assert press(seen, "d", "y") == {
        "child": "receiver", "request": {"request": "drop", "session": "a"},
    }  # fmt: skip


def test_the_domain_that_is_chosen_is_retried() -> None:
    seen = screen(queue=(domain("few.example", 1), domain("many.example", 5)))
    assert press(seen, "r") is None
    assert "queue" in seen.message
    assert press(seen, "\t", "r") == {
        "child": "relay", "request": {"request": "retry", "which": ["many.example"]},
    }  # fmt: skip


def test_rows_are_filtered_and_sorted() -> None:
    seen = screen(session("a", peer="192.0.2.1:5"), session("b", peer="192.0.2.2:5", age=7))
    assert [row["session"] for row in seen.shown()] == ["b", "a"]
    press(seen, "s", "s")
    assert [row["session"] for row in seen.shown()] == ["a", "b"]
    press(seen, "/", "2", ".", "x", "backspace", "2", "enter")
    assert [row["session"] for row in seen.shown()] == ["b"]
    press(seen, "/", "q", "escape")
    assert seen.filter == "2.2"
    assert not seen.quit


def test_nothing_is_chosen_where_nothing_is() -> None:
    seen = screen()
    assert press(seen, "j", "d") is None
    assert "session" in seen.message
    assert press(seen, "y") is None


def test_q_leaves_and_space_stops() -> None:
    seen = screen()
    press(seen, " ", "q")
    assert (seen.paused, seen.quit) == (True, True)


# lines


@pytest.mark.parametrize("rows", [0, 1, 100])
@pytest.mark.parametrize("size", [(80, 24), (200, 60), (40, 14)])
def test_it_fits_the_screen(rows: int, size: tuple[int, int]) -> None:
    seen = screen(*(session(f"s{n}", peer="x" * 100) for n in range(rows)))
    lines = draw(seen, history({"connections": 1}), {"hostname": "mx.example.org", "uptime": 5}, *size).plain
    assert len(lines.split("\n")) == size[1]
    assert max(map(len, lines.split("\n"))) <= size[0]


def test_the_chosen_row_is_always_on_the_screen() -> None:
    seen = screen(*(session(f"s{n}", age=1000 - n, peer=f"peer-{n}") for n in range(100)))
    press(seen, *["j"] * 70)
    assert "peer-70" in draw(seen, history(), {}, 80, 24).plain


def test_what_strangers_wrote_cannot_reach_the_terminal() -> None:
    seen = screen(queue=(domain("a\x1b[2Jb", 1),))
    press(seen, "2")
    assert "\x1b" not in draw(seen, history(), {}, 80, 24).plain


def test_a_domain_says_when_and_why() -> None:
    seen = screen(queue=(domain("a.example", 3),))
    press(seen, "2")
    assert re.search(
        r"3 +a\.example +60 s +0 of 2 +- +their DNS does not answer", draw(seen, history(), {}, 80, 24).plain
    )


# the whole


class Terminal:
    """A command in a terminal of 80 by 24."""

    def __init__(self, socket: Path, command: list[str]) -> None:
        self._tmux = [needs("tmux"), "-S", str(socket)]
        self._run("new-session", "-d", "-s", "t", "-x", "80", "-y", "24", shlex.join(command))

    def _run(self, *words: str) -> str:
        return subprocess.run([*self._tmux, *words], capture_output=True, text=True, check=False).stdout

    def press(self, *keys: str) -> None:
        self._run("send-keys", "-t", "t", *keys)

    def shows(self, pattern: str) -> bool:
        """Waits until it does."""
        return eventually(lambda: re.search(pattern, self._run("capture-pane", "-p", "-t", "t")) is not None)

    def is_gone(self) -> bool:
        return eventually(lambda: self._run("list-sessions") == "")

    def close(self) -> None:
        self._run("kill-server")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Instance]:
    with Instance(tmp_path / "server", configuration=CONFIGURATION).running() as running:
        yield running


@pytest.fixture
def terminal(server: Instance, tmp_path: Path) -> Iterator[Terminal]:
    command = ["env", f"PYTHONPATH={ROOT}", *MTA, "-f", str(server.configuration), "top", "-d", "1s"]
    shown = Terminal(tmp_path / "tmux", command)
    yield shown
    shown.close()


def test_it_shows_a_session_and_drops_it(server: Instance, terminal: Terminal) -> None:
    with smtplib.SMTP("127.0.0.1", server.port) as client:
        client.sendmail("a@b.example", ["c@example.org", "d@remote.example"], b"Subject: x\r\n\r\nx\r\n")
        assert terminal.shows(r"1 letters wait")
        assert terminal.shows(r"smtp +127\.0\.0\.1:\d+ +INIT +client")
        terminal.press("d")
        assert terminal.shows(r"drop session [0-9a-z]{20}\?")
        terminal.press("y")
        assert terminal.shows(r"nobody is connected")
        assert client.getreply()[0] == 421
        client.close()
    terminal.press("2")
    assert terminal.shows(r"1 +remote\.example")
    terminal.press("q")
    assert terminal.is_gone()


def test_one_look_as_json(server: Instance) -> None:
    told = run("-f", str(server.configuration), "top", "--json").stdout
    assert '"hostname": "mx.example.org"' in told
    assert '"accepted_messages": 0' in told


def test_without_a_terminal_or_a_server_it_says_so(server: Instance, tmp_path: Path) -> None:
    done = run("-f", str(server.configuration), "top", check=False)
    assert (done.returncode, "no terminal" in done.stderr) == (2, True)
    os.kill(server.pid, 15)
    server.stop()
    done = run("-f", str(server.configuration), "top", "--json", check=False)
    assert (done.returncode, "no server answers" in done.stderr) == (75, True)
