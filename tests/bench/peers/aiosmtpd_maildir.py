"""aiosmtpd with `mailbox.Maildir`: python aiosmtpd_maildir.py PORT FOLDER.

`Maildir.add` syncs the file and then links it into place. It does not sync the folder, so that its 250
promises less than ours; that is in its favour here.
"""

from __future__ import annotations

import asyncio
import mailbox
import sys
from functools import cache
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session


class Deliver:
    """Puts each message into the Maildir named by the recipient's local part."""

    def __init__(self, folder: Path) -> None:
        self._maildir = cache(lambda local: mailbox.Maildir(folder / local))

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - its name
        content = envelope.original_content or b""
        for recipient in envelope.rcpt_tos:
            self._maildir(recipient.partition("@")[0]).add(content)
        return "250 OK"


async def serve(port: int, folder: Path) -> None:
    handler = Deliver(folder)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(handler, data_size_limit=0, hostname="mx.example.org", loop=loop),
        "127.0.0.1",
        port,
        backlog=1024,
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
