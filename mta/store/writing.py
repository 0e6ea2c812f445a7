"""From a delivery to its files: which there are, what they contain, what they are called.

One way is one file: the Maildir form in the mailbox's own tmp, or a letter in .tmp. Several ways are a letter
naming them all, which is going to be the record in .commit; and in .tmp, if any of them is a mailbox, the
Maildir form, to be linked into each after the commit.
"""

from __future__ import annotations

import errno
import os
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import suppress

from mta.store.delivery import Delivery, Text
from mta.store.drafts import Draft
from mta.store.envelope import Domain, Envelope, Mailbox, Way
from mta.store.folders import Directory, Folders, Place
from mta.store.letter import Letter, envelope_lines, first_line
from mta.store.letters.spares import Spares
from mta.store.system import System

_CHUNK = 1_000_000


class Form(Draft):
    """A draft that knows how a delivery is written into it."""

    __slots__ = ("target",)

    def __init__(
        self,
        system: System,
        directory: Directory,
        name: str,
        target: Directory,
        sealed: int | None = None,
        spares: Spares | None = None,
    ) -> None:
        """`target` is the folder it is published in."""
        super().__init__(system, directory, name, sealed, spares)
        self.target = target

    @abstractmethod
    def begin(self, delivery: Delivery, text: Text) -> None:
        """Write what stands before the text, and the first of it."""

    @abstractmethod
    def extend(self, text: Text) -> None:
        """Write more of it."""

    @abstractmethod
    def complete(self, delivery: Delivery) -> None:
        """All text has been written."""

    @abstractmethod
    def final_name(self, delivery: Delivery, host: str) -> str:
        """What it is called in the target."""


class MaildirForm(Form):
    """Return-Path, Received, text; LF line ends."""

    __slots__ = ()

    def begin(self, delivery: Delivery, text: Text) -> None:
        self.write([return_path(delivery.envelope), delivery.trace, *text.lf])

    def extend(self, text: Text) -> None:
        self.write(text.lf)

    def complete(self, delivery: Delivery) -> None:
        """Nothing is left to say: the sizes stand in the name."""

    def final_name(self, delivery: Delivery, host: str) -> str:
        line_ends = 1 + delivery.trace.count(b"\n") + delivery.wire_size - delivery.octets
        return maildir_name(delivery.envelope, host, self.octets, self.octets + line_ends)


class LetterForm(Form):
    """Envelope, Received, text; CRLF line ends from Received on."""

    __slots__ = ("_envelope_octets", "_first_line")

    def begin(self, delivery: Delivery, text: Text) -> None:
        envelope = envelope_lines(delivery.envelope)
        self._envelope_octets = len(envelope)
        self._first_line = self._line(delivery)
        self.write([self._first_line, envelope, delivery.trace.replace(b"\n", b"\r\n"), *text.crlf])

    def extend(self, text: Text) -> None:
        self.write(text.crlf)

    def complete(self, delivery: Delivery) -> None:
        line = self._line(delivery)
        if line != self._first_line:
            self.rewrite(line, 0)
        self.cut()

    def final_name(self, delivery: Delivery, host: str) -> str:
        return delivery.envelope.id

    def _line(self, delivery: Delivery) -> bytes:
        trace = len(delivery.trace) + delivery.trace.count(b"\n")
        return first_line(self._envelope_octets, trace + delivery.wire_size)


class Writing:
    """Writes the files of deliveries, up to the point where they are published."""

    def __init__(
        self, system: System, folders: Folders, spares: Spares | None, *, host: str, writer: str
    ) -> None:
        """`spares` are written over, if there are any, for letters of one domain; `host` goes into Maildir
        names, `writer` into those of drafts."""
        self._system = system
        self._folders = folders
        self._spares = spares
        # maildir(5): these two would be taken for a path and for flags; the comma begins S=.
        self.host = host.replace("/", r"\057").replace(":", r"\072").replace(",", r"\054")
        self.writer = writer
        self.under_way: set[str] = set()
        """Identifiers of messages that may have drafts now."""

    def write(self, delivery: Delivery, text: Text) -> None:
        """Add text to the files of a delivery; make them first if there are none yet. OSError."""
        if delivery.drafts:
            for draft in delivery.drafts:
                draft.extend(text)
        else:
            self._begin(delivery, text)

    def adopt(self, delivery: Delivery, files: Sequence[tuple[str, int]]) -> None:
        """Take over the files, by name and octets, that another process has sealed for it. OSError."""
        delivery.sealed = True
        for (name, octets), (form, tmp, target) in zip(files, self._kinds(delivery), strict=True):
            delivery.drafts.append(form(self._system, tmp, name, target, octets))

    def remove(self, delivery: Delivery) -> None:
        """Leave nothing of a delivery, wherever its files are by now. OSError after all were tried."""
        drafts, delivery.drafts = delivery.drafts, []
        try:
            _remove_all(drafts)
        finally:
            self.under_way.discard(delivery.envelope.id)

    def remove_leftover(self, delivery: Delivery) -> None:
        """Remove the draft of a process that died while it wrote this same delivery, of one way. OSError."""
        tmp = self._folders.place(delivery.ways[0]).tmp
        _unlink_leftover(self._system, tmp, self.draft_name(delivery.envelope))

    def copy_to_maildir(self, letter: Letter, fd: int, directory: Directory) -> tuple[Draft, str]:
        """The Maildir form of a letter that is open as `fd`: a synced draft, and its final name. OSError."""
        envelope = letter.envelope
        name = self.draft_name(envelope, ".mail")
        _unlink_leftover(self._system, directory, name)
        draft = Draft(self._system, directory, name)
        try:
            draft.write([return_path(envelope)])
            for piece in _lf_pieces(self._system, fd, letter.offset, letter.length):
                draft.write([piece])
            draft.sync()
            draft.close()
        except OSError:
            draft.remove()
            raise
        wire_octets = len(return_path(envelope)) + 1 + letter.length
        return draft, maildir_name(envelope, self.host, draft.octets, wire_octets)

    def draft_name(self, envelope: Envelope, suffix: str = "") -> str:
        """What a file is called while it is written."""
        return f"{envelope.id}.{self.writer}{suffix}"

    def _begin(self, delivery: Delivery, text: Text) -> None:
        self.under_way.add(delivery.envelope.id)
        for form in self._forms(delivery):
            delivery.drafts.append(form)
            form.begin(delivery, text)

    def _forms(self, delivery: Delivery) -> Iterator[Form]:
        """The files of a delivery; each is made when the one before it has been begun."""
        if len(delivery.ways) == 1:
            yield self._only_form(delivery.envelope, delivery.ways[0])
            return
        # Whatever is wrong with one of the places is found out now, while the message can still be refused.
        for way in delivery.ways:
            self._check(self._folders.place(way), way)
        tmp = self._folders.tmp
        yield LetterForm(self._system, tmp, self.draft_name(delivery.envelope), self._folders.commit)
        if delivery.in_maildir:
            yield MaildirForm(self._system, tmp, self.draft_name(delivery.envelope, ".mail"), tmp)

    def _kinds(self, delivery: Delivery) -> Iterator[tuple[type[Form], Directory, Directory]]:
        """For each file of a delivery its form, the folder where it is written and the one it is for."""
        if len(delivery.ways) == 1:
            place = self._folders.place(delivery.ways[0])
            yield MaildirForm if delivery.in_maildir else LetterForm, place.tmp, place.home
            return
        tmp = self._folders.tmp
        yield LetterForm, tmp, self._folders.commit
        if delivery.in_maildir:
            yield MaildirForm, tmp, tmp

    def _only_form(self, envelope: Envelope, way: Way) -> Form:
        name = self.draft_name(envelope)
        try:
            return self._made(way, name)
        except FileNotFoundError:
            # The folder was removed in the last second, while we held it open.
            self._folders.forget(way)
            return self._made(way, name)

    def _made(self, way: Way, name: str) -> Form:
        place = self._folders.place(way)
        if isinstance(way, Mailbox):
            return MaildirForm(self._system, place.tmp, name, place.home)
        return LetterForm(self._system, place.tmp, name, place.home, spares=self._spares)

    def _check(self, place: Place, way: Way) -> None:
        """A record can be linked into the folders of its own file system only; a mailbox may get a copy."""
        if isinstance(way, Domain) and place.home.device != self._folders.commit.device:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), place.home.path)


def return_path(envelope: Envelope) -> bytes:
    """RFC 5321 section 4.4: the final delivery puts the reverse-path on top."""
    return b"Return-Path: <%s>\n" % envelope.sender.encode()


def maildir_name(envelope: Envelope, host: str, octets: int, wire_octets: int) -> str:
    """The name in `new`, with the size of the file and the size it has with CRLF line ends (Maildir++)."""
    return f"{int(envelope.arrived)}.{envelope.id}.{host},S={octets},W={wire_octets}"


def _unlink_leftover(system: System, directory: Directory, name: str) -> None:
    with suppress(FileNotFoundError):
        system.unlink(name, dir_fd=directory.fd)


def _remove_all(drafts: Sequence[Draft]) -> None:
    """Try them all, even when one fails."""
    if drafts:
        try:
            drafts[0].remove()
        finally:
            _remove_all(drafts[1:])


def _lf_pieces(system: System, fd: int, offset: int, length: int) -> Iterator[bytes]:
    """So many octets of a file, piece by piece, CRLF line ends as LF."""
    end, kept = offset + length, b""
    while offset < end:
        piece = system.pread(fd, min(_CHUNK, end - offset), offset)
        if not piece:
            raise OSError(errno.EIO, "the letter became shorter while it was read")
        offset += len(piece)
        piece = kept + piece
        # A CR at the end may be the first half of a line end.
        kept = b"\r" if piece.endswith(b"\r") else b""
        yield piece.removesuffix(kept).replace(b"\r\n", b"\n")
    if kept:
        yield kept
