"""Finding records again: indexed or not, rotated, compressed, cut short, and never with one missing."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.log import index
from mta.log.follow import Follower
from mta.log.index import BLOCK, Indexer, path_of_index, read_blocks
from mta.log.logfmt import format_record, parse_record
from mta.log.search import LogFiles
from tests.log.conftest import NOON

ID = "6aeadkk5bvsiupraiabb"


def records(count: int, start: int = 0) -> list[bytes]:
    """Accepted messages, one a second; the n-th is `id_of(n)` from `a<n>@b.example`."""
    return [
        format_record(
            NOON + number,
            "INFO",
            "receiver",
            "accepted",
            {
                "id": id_of(number),
                "session": f"s{number:019}",
                "sender": f"a{number}@b.example",
                "recipients": [f"c{number % 7}@example.org", "d@example.org"],
            },
        )
        for number in range(start, start + count)
    ]


def id_of(number: int) -> str:
    return f"{number:020}"


MANY = 4 * BLOCK // len(records(1)[0])
"""Records for some four blocks."""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "mta.log"


def index_of(log: Path, octets: bytes) -> Path:
    return path_of_index(log, octets.partition(b"\n")[0])


def ids(log: Path, *asked: str, since: float = 0.0) -> list[str]:
    return [record.fields["id"] for record in LogFiles(log).find(asked, since)]


def write(log: Path, octets: bytes, *, finish: bool = False) -> None:
    log.write_bytes(octets)
    indexer = Indexer(log)
    indexer.finish() if finish else indexer.advance()
    indexer.close()


@pytest.mark.parametrize("finish", [False, True])
def test_what_is_in_the_log_is_found_in_any_block(log: Path, finish: bool) -> None:
    octets = b"".join(records(MANY))
    write(log, octets, finish=finish)
    covered = read_blocks(index_of(log, octets))[-1].end
    assert covered == len(octets) if finish else len(octets) - BLOCK < covered < len(octets)
    for number in (0, 1, MANY // 2, MANY - 1):
        assert ids(log, id_of(number)) == [id_of(number)]
        assert ids(log, f"a{number}@b.example") == [id_of(number)]
    assert ids(log, id_of(MANY)) == []


def test_only_blocks_that_may_hold_it_are_read(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    octets = b"".join(records(MANY))
    write(log, octets, finish=True)
    # Were the index not asked, changing it so that it knows nothing would change nothing.
    monkeypatch.setattr("mta.log.search.digest", lambda _asked: 1)
    assert ids(log, id_of(5)) == []


def test_without_an_index_everything_is_searched(log: Path) -> None:
    log.write_bytes(b"".join(records(MANY)))
    assert ids(log, id_of(MANY // 2)) == [id_of(MANY // 2)]


@pytest.mark.parametrize("cut", [0, 5, 100, -1, -3000])
def test_an_index_cut_short_hides_nothing_and_is_completed(log: Path, cut: int) -> None:
    octets = b"".join(records(MANY))
    write(log, octets, finish=True)
    path = index_of(log, octets)
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    assert ids(log, id_of(MANY - 1)) == [id_of(MANY - 1)]
    Indexer(log).finish()
    assert path.read_bytes() == whole


def test_an_index_with_a_flipped_bit_hides_nothing(log: Path) -> None:
    octets = b"".join(records(MANY))
    write(log, octets, finish=True)
    path = index_of(log, octets)
    spoilt = bytearray(path.read_bytes())
    spoilt[len(spoilt) // 2] ^= 1
    path.write_bytes(spoilt)
    assert [ids(log, id_of(number)) for number in (0, MANY - 1)] == [[id_of(0)], [id_of(MANY - 1)]]


def test_an_index_goes_on_where_the_log_does(log: Path) -> None:
    first = b"".join(records(10))
    write(log, first, finish=True)
    write(log, first + b"".join(records(10, start=10)), finish=True)
    assert [block.start for block in read_blocks(index_of(log, first))] == [0, len(first)]
    assert ids(log, "d@example.org") == [id_of(number) for number in range(20)]


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [(".1", bytes), (".2.gz", gzip.compress), (".3.bz2", bz2.compress), ("-20261120.xz", lzma.compress)],
)
def test_rotated_files_come_first_and_keep_their_index(
    log: Path, suffix: str, compress: Callable[[bytes], bytes]
) -> None:
    old = b"".join(records(MANY))
    write(log, old, finish=True)
    log.unlink()
    Path(f"{log}{suffix}").write_bytes(compress(old))
    write(log, b"".join(records(3, start=MANY)))
    assert ids(log, id_of(3), id_of(MANY + 1)) == [id_of(3), id_of(MANY + 1)]
    assert len(read_blocks(index_of(log, old))) > 3


def test_older_blocks_are_left_out(log: Path) -> None:
    write(log, b"".join(records(MANY)), finish=True)
    late = ids(log, "d@example.org", since=NOON + MANY - 1)
    assert late[-1] == id_of(MANY - 1)
    assert len(late) < MANY / 2


def test_indexes_of_files_that_are_gone_go_too(log: Path) -> None:
    old, new = b"".join(records(3)), b"".join(records(3, start=3))
    write(log, old, finish=True)
    write(log, new, finish=True)
    LogFiles(log).forget_others()
    assert [path.name for path in index_of(log, new).parent.iterdir()] == [index_of(log, new).name]


def test_a_file_that_cannot_be_read_is_named(log: Path) -> None:
    log.write_bytes(b"".join(records(1)))
    Path(f"{log}.1.gz").write_bytes(b"this is no gzip file")
    files = LogFiles(log)
    assert [record.fields["id"] for record in files.find(["d@example.org"])] == [id_of(0)]
    assert len(files.unreadable) == 1
    assert "mta.log.1.gz" in files.unreadable[0]


def test_lines_of_others_are_skipped(log: Path) -> None:
    log.write_bytes(records(1)[0] + b"a stranger wrote =d@example.org here\n" + records(1, start=1)[0])
    assert ids(log, "d@example.org") == [id_of(0), id_of(1)]


def test_a_name_is_never_a_pattern(tmp_path: Path) -> None:
    log = tmp_path / "mta[1].log"
    log.write_bytes(records(1)[0])
    assert ids(log, "a.@b.example") == []
    assert ids(log, "a0@b.example") == [id_of(0)]
    assert ids(log, "A0@B.Example") == [id_of(0)]


@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=4))
def test_every_address_that_a_record_can_hold_has_its_digest(addresses: list[str]) -> None:
    for fields in ({"recipients": addresses}, {"sender": addresses[0]}, {"recipient": addresses[-1]}):
        block = format_record(NOON, "INFO", "receiver", "accepted", fields)
        asked = addresses if "recipients" in fields else [str(*fields.values())]
        assert all(index.digest(address) in index.digests(block) for address in asked if address)


# following


def test_a_follower_waits_for_the_file_and_indexes_it_to_the_end(log: Path) -> None:
    faults: list[OSError] = []
    follower = Follower(str(log), faults.append)
    follower.advance()
    octets = b"".join(records(MANY))
    log.write_bytes(octets)
    follower.advance()
    blocks = read_blocks(index_of(log, octets))
    assert 0 < blocks[-1].end < len(octets)
    follower.finish()
    assert read_blocks(index_of(log, octets))[-1].end == len(octets)
    assert faults == []


def test_a_follower_tells_once_why_there_is_no_index(log: Path) -> None:
    faults: list[OSError] = []
    log.write_bytes(records(1)[0])
    log.with_name(".mta.log.index").write_bytes(b"a file where the folder should be")
    follower = Follower(str(log), faults.append)
    follower.advance()
    follower.advance()
    assert len(faults) == 1


def test_standard_error_has_no_index() -> None:
    faults: list[OSError] = []
    follower = Follower("", faults.append)
    follower.advance()
    follower.finish()
    assert faults == []


def test_what_is_found_are_whole_records(log: Path) -> None:
    write(log, b"".join(records(MANY)), finish=True)
    (found,) = LogFiles(log).find([id_of(7)])
    assert found == parse_record(records(1, start=7)[0])
