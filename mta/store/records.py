"""Messages for several places: accepted by their record in .commit, then linked everywhere.

The record is the letter that names every way. Once it is durable the message is accepted and nothing can
refuse it any more: what cannot be linked now is tried again, for as long as it takes, and after a crash the
records that are left tell all that is needed. Domains get links to the record itself, mailboxes to the
Maildir form beside it, which is made anew from the record if a crash has taken it.

Which places are done is remembered, so that a place that cannot be served for hours does not make the
others get their copy again. A crash forgets that; then a mailbox is searched for the message first, in `cur`
too. What its reader has already removed by then arrives a second time: a crash may repeat, never lose.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple, TypeAlias

from mta import identifier
from mta.store.delivery import Delivery
from mta.store.drafts import Draft
from mta.store.envelope import Domain, Envelope, Mailbox, Way
from mta.store.folders import Directory, Folders, Place
from mta.store.letter import BrokenLetter, Letter, read_letter
from mta.store.syncing import Syncing
from mta.store.system import System
from mta.store.writing import Writing

Troubles: TypeAlias = dict[str, Exception]
"""By identifier: why a message is not at all its places."""

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK)
"""Another file system, one without links, or too many of them: a copy will do."""


class Unfinished(NamedTuple):
    """An accepted message that is not at all its places; it is safe in .commit or in .error."""

    id: str
    text: str
    """What the system said, or what is wrong with the record; for the log."""


class Recovery(NamedTuple):
    """What `Store.open` found in .commit."""

    finished: tuple[str, ...]
    """Identifiers of messages that are now at all their places."""
    unfinished: tuple[Unfinished, ...]
    """Those that still are not; they are tried again."""
    broken: tuple[Unfinished, ...]
    """Records that cannot be read, moved to .OTHER_SERVERS/.error with the reason beside them."""


class Record:
    """An accepted message that has places to go to."""

    __slots__ = ("careful", "envelope", "linked", "mail", "mail_name", "waiting")

    def __init__(self, envelope: Envelope, *, careful: bool) -> None:
        self.envelope = envelope
        self.waiting = list(envelope.ways)
        self.linked: dict[Way, Directory] = {}
        """Those of `waiting` that are linked, and into which folder, but not yet synced."""
        self.careful = careful
        """A mailbox may have the message already."""
        self.mail: Draft | None = None
        """The Maildir form in .tmp, if it is there."""
        self.mail_name = ""


class Records:
    """All records of .commit that are not finished; one thread at a time, except `len`."""

    def __init__(self, system: System, folders: Folders, writing: Writing, syncing: Syncing) -> None:
        self._system = system
        self._folders = folders
        self._writing = writing
        self._syncing = syncing
        self._records: dict[str, Record] = {}
        self._unread: list[str] = []
        """Records a crash left that have not been read yet."""

    def __len__(self) -> int:
        return len(self._records) + len(self._unread)

    def add(self, delivery: Delivery) -> None:
        """Take on a delivery that was stored for several places."""
        record = Record(delivery.envelope, careful=False)
        for mail in delivery.drafts[1:]:
            record.mail, record.mail_name = mail, mail.final_name(delivery, self._writing.host)
        self._records[record.envelope.id] = record

    def recover(self) -> Recovery:
        """Finish what a crash left, before anything new is written."""
        names = self._folders.commit.names()
        found = self._unread = [name for name in names if identifier.PATTERN.fullmatch(name) is not None]
        failures = {failure.id: failure for failure in self.finish()}
        waiting = {*self._unread, *self._records}
        return Recovery(
            finished=tuple(name for name in found if name not in failures),
            unfinished=tuple(failure for name, failure in failures.items() if name in waiting),
            broken=tuple(failure for name, failure in failures.items() if name not in waiting),
        )

    def finish(self) -> list[Unfinished]:
        """Link every record to the places it lacks, sync, and remove those that have all."""
        if not len(self):
            return []
        troubles: Troubles = {}
        self._unread = [name for name in self._unread if not self._is_read(name, troubles)]
        for record in self._records.values():
            self._link_all(record, troubles)
        self._sync(troubles)
        for record in [record for record in self._records.values() if not record.waiting]:
            self._remove(record, troubles)
        return [Unfinished(name, str(error)) for name, error in troubles.items()]

    # reading what a crash left

    def _is_read(self, name: str, troubles: Troubles) -> bool:
        """Whether this record needs no more reading: it is known now, or it is broken and out of the way."""
        try:
            self._records[name] = Record(self._letter(name).envelope, careful=True)
        except BrokenLetter as error:
            troubles[name] = error
            return self._is_put_aside(name, error, troubles)
        except OSError as error:
            troubles[name] = error
            return False
        self._writing.under_way.add(name)
        return True

    def _letter(self, name: str) -> Letter:
        with self._opened(name) as fd:
            letter = read_letter(fd, self._system)
        if letter.envelope.id != name:
            raise BrokenLetter(f"it is the letter {letter.envelope.id}")
        return letter

    @contextmanager
    def _opened(self, name: str) -> Iterator[int]:
        fd = self._system.open(name, _READ, dir_fd=self._folders.commit.fd)
        try:
            yield fd
        finally:
            self._system.close(fd)

    def _is_put_aside(self, name: str, reason: BrokenLetter, troubles: Troubles) -> bool:
        error = self._folders.error
        try:
            note = Draft(self._system, error, f"{name}.reason")
            note.write([f"{reason}\n".encode()])
            note.close()
            self._system.rename(name, self._folders.commit.fd, name, error.fd)
        except OSError as another:
            troubles[name] = another
            return False
        return True

    # linking

    def _link_all(self, record: Record, troubles: Troubles) -> None:
        for way in record.waiting:
            try:
                place = self._folders.place(way)
                self._link(record, way, place)
                record.linked[way] = place.home
            except OSError as error:
                record.careful = True
                troubles[record.envelope.id] = error

    def _link(self, record: Record, way: Way, place: Place) -> None:
        # What exists under this name is this message: identifiers are never used twice.
        with suppress(FileExistsError):
            if isinstance(way, Domain):
                self._link_file(self._folders.commit, record.envelope.id, place.home, record.envelope.id)
            elif not (record.careful and self._has_mail(way, f".{record.envelope.id}.")):
                self._link_mail(record, place)

    def _has_mail(self, way: Mailbox, part: str) -> bool:
        """Whether a mailbox has a message with this part of a name, read or unread, whatever its flags."""
        maildir = self._folders.maildir(way)
        seen = (maildir.enter("new"), maildir.enter("cur"))
        return any(part in name for folder in seen for name in folder.names())

    def _link_mail(self, record: Record, place: Place) -> None:
        if record.mail is None:
            record.mail, record.mail_name = self._copy(record, self._folders.tmp)
        try:
            self._link_file(record.mail.directory, record.mail.name, place.home, record.mail_name)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            self._link_copy(record, place)

    def _link_copy(self, record: Record, place: Place) -> None:
        copy, name = self._copy(record, place.tmp)
        try:
            copy.publish(place.home, name)
        except OSError:
            copy.remove()
            raise

    def _copy(self, record: Record, directory: Directory) -> tuple[Draft, str]:
        with self._opened(record.envelope.id) as fd:
            return self._writing.copy_to_maildir(read_letter(fd, self._system), fd, directory)

    def _link_file(self, directory: Directory, name: str, new_directory: Directory, new_name: str) -> None:
        self._system.link(
            name, new_name, src_dir_fd=directory.fd, dst_dir_fd=new_directory.fd, follow_symlinks=False
        )

    # syncing and removing

    def _sync(self, troubles: Troubles) -> None:
        records = [record for record in self._records.values() if record.linked]
        if not records:
            return
        folders = {folder for record in records for folder in record.linked.values()}
        try:
            self._syncing.folders(folders.union(self._folders.take_unsynced()))
        except OSError as error:
            self._folders.forget()
            for record in records:
                record.careful = True
                troubles[record.envelope.id] = error
        else:
            for record in records:
                record.waiting = [way for way in record.waiting if way not in record.linked]
        for record in records:
            record.linked.clear()

    def _remove(self, record: Record, troubles: Troubles) -> None:
        """The removal is not synced: a record that comes back with a power cut is finished again."""
        name = record.envelope.id
        try:
            with suppress(FileNotFoundError):
                self._system.unlink(name, dir_fd=self._folders.commit.fd)
            if record.mail is not None:
                record.mail.remove()
        except OSError as error:
            troubles[name] = error
        else:
            del self._records[name]
            self._writing.under_way.discard(name)
