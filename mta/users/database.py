"""The database behind the accounts: SQLite in a file, or PostgreSQL."""

from __future__ import annotations

from mta.users.errors import DatabaseDown

__all__ = ["Database", "DatabaseDown"]


class Database:
    """One database. Nothing is opened before it is asked. Safe for several threads."""

    def __init__(self, url: str, *, make: bool = True) -> None:
        """`url`: `users.database`. `make`: a SQLite file that is missing is made on first use, with 0600."""
        self._url = url
        self._make = make

    def close(self) -> None:
        """Close what is open."""
