"""What can go wrong with accounts. The text of each is a whole sentence for whoever asked."""

from __future__ import annotations


class DatabaseDown(Exception):
    """The database cannot be asked now. Whatever is cached is still good; the rest is to be tried again."""


class NewerDatabase(DatabaseDown):
    """A later version of this program has been here, and changed what the tables mean."""


class NoDatabase(DatabaseDown):
    """The file does not exist, and this time it was not to be made."""


class Refused(Exception):
    """What was asked for is not done, and trying again would not help."""


class UnfitName(Refused):
    """No account, alias or target can have this name."""


class AlreadyExists(Refused):
    """There is one of this name."""


class NotFound(Refused):
    """There is none of this name."""


class TooManyUsers(Refused):
    """There are as many as `limits.users` allows."""


class LastAdministrator(Refused):
    """Nobody would be left who may administer."""
