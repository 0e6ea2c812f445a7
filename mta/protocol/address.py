"""Mail addresses as SMTP writes them (RFC 5321 4.1.2, RFC 6531 3.3)."""

from typing import Final, NamedTuple


class Address(NamedTuple):
    """A mailbox. `str()` gives its canonical wire form, quoted where it must be, without brackets."""

    local: str
    """The local part as sent, quotes and backslashes removed."""
    domain: str
    """Lower case A-labels, or a literal in brackets (`[192.0.2.1]`, `[IPv6:2001:db8::1]`)."""

    @property
    def is_literal(self) -> bool:
        return self.domain.startswith("[")


NULL_PATH: Final = Address("", "")
"""The reverse-path `<>`."""
