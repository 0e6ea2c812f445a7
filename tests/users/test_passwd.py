"""Lines of accounts: Dovecot's and plain ones in, ours out and in again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.users import passwords
from mta.users.account import Account, Role
from mta.users.passwd import BadLine, Line, read, write
from mta.users.passwords import Secrets, verify

ORG = "example.org"
BCRYPT = "{BLF-CRYPT}$2y$05$8PCnQIHpU7BaEr.lqZRvUuYmYkQ4dYXYqtKvn5kY2Rl6sYQk0.9t2"


@pytest.mark.parametrize("text", ["", "\n", "  \n", "# alice:secret", "#"])
def test_no_account(text: str) -> None:
    assert read(text, ORG) is None


@pytest.mark.parametrize(
    ("text", "password"),
    [
        ("alice:secret\n", "secret"),
        ("alice:secret\r\n", "secret"),
        ("alice:with:colons:1", "with:colons:1"),
        ("alice: blanks ", " blanks "),
        ("alice:{PLAIN}secret", "secret"),
        ("alice:{plain}secret:1000:1000::/home/alice::", "secret"),
        ("alice:$ecret", "$ecret"),
        ("alice:{x", "{x"),
    ],
)
def test_passwords(text: str, password: str) -> None:
    assert read(text, ORG) == Line("alice", ORG, None, password)


@pytest.mark.parametrize(
    ("text", "hash"),
    [
        (f"alice:{BCRYPT}", BCRYPT),
        (f"alice:{BCRYPT}:1000:1000:Alice:/home/alice:/bin/sh:nologin", BCRYPT),
        ("alice:$6$salt$hash:1000:1000::/home/alice:", "$6$salt$hash"),
        ("alice:abJnggxhB/yWI:1000:1000::/home/alice::", "abJnggxhB/yWI"),
        ("alice:abJnggxhB/yWI::", "abJnggxhB/yWI"),
        ("alice:{ARGON2ID}$argon2id$v=19$m=1,t=1,p=1$a$b", "$argon2id$v=19$m=1,t=1,p=1$a$b"),
        ("alice:{SSHA}aGFzaA==", "{SSHA}aGFzaA=="),
    ],
)
def test_hashes(text: str, hash: str) -> None:  # noqa: A002 - the field of Secrets
    assert read(text, ORG) == Line("alice", ORG, Secrets(hash))


def test_where_an_account_is() -> None:
    for text, key in (
        ("Alice@Example.NET:x", ("alice", "example.net")),
        ("ALICE:x", ("alice", ORG)),
        ("m\u0075\u0308ller:x", ("müller", ORG)),
    ):
        line = read(text, ORG)
        assert line is not None
        assert line.key == key


@pytest.mark.parametrize(
    ("rule", "octets", "messages"),
    [
        ("userdb_quota_rule=*:storage=1G:messages=1000", 1 << 30, 1000),
        ("quota_rule=*:storage=1024", 1 << 20, 0),
        ("userdb_quota_rule=*:bytes=1000", 1000, 0),
        ("userdb_quota_rule=Trash:storage=1G", 0, 0),
        ("userdb_mail=maildir:~/Mail", 0, 0),
    ],
)
def test_quotas(rule: str, octets: int, messages: int) -> None:
    line = read(f"alice:{BCRYPT}:1:1:::: userdb_x=y {rule}", ORG)
    assert line is not None
    assert (line.quota_octets, line.quota_messages) == (octets, messages)


@pytest.mark.parametrize("locked", ["*", "!", "!!", "!$6$salt$hash"])
def test_locked_accounts_of_unix(locked: str) -> None:
    line = read(f"alice:{locked}:1000:1000:::", ORG)
    assert line is not None
    assert not line.enabled
    assert line.secrets is not None
    assert not verify(line.secrets.hash, locked).ok


@pytest.mark.parametrize(
    "text",
    ["alice", "alice:", "alice:::::::", "alice:{PLAIN}", "a@..:x", "alice:{X}y::::::mta_role=king"],
)
def test_bad_lines(text: str) -> None:
    with pytest.raises(BadLine):
        read(text, ORG)


def test_a_bad_line_does_not_tell_its_password() -> None:
    with pytest.raises(BadLine) as told:
        read("alice@exa mple:s3cret", ORG)
    assert "s3cret" not in str(told.value)
    assert "s3cret" not in repr(read("alice:s3cret", ORG))


@given(
    role=st.sampled_from(Role),
    enabled=st.booleans(),
    octets=st.integers(0, 10**15 - 1),
    messages=st.integers(0, 10**15 - 1),
    scram=st.sampled_from(["", "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy"]),
    hash=st.sampled_from([passwords.NOBODYS, BCRYPT, "$6$salt$hash", "{SSHA}aGFzaA==", "*"]),
)
def test_what_we_write_reads_the_same(
    role: Role,
    enabled: bool,
    octets: int,
    messages: int,
    scram: str,
    hash: str,  # noqa: A002
) -> None:
    enabled = enabled and hash != "*"
    account = Account(1, "alice", ORG, "alice", role, enabled, octets, messages)
    line = read(write(account, Secrets(hash, scram)), "other.example")
    assert line is not None
    assert line.secrets is not None
    assert line.secrets.hash.removeprefix("{CRYPT}") == hash
    assert line == Line("alice", ORG, Secrets(line.secrets.hash, scram), "", role, enabled, octets, messages)
