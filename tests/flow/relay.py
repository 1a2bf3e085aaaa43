"""A mail relay that keeps what it is given."""

from __future__ import annotations

import contextlib
import email
import email.policy
import re
import socket
import threading
from collections.abc import Iterator
from email.message import EmailMessage

from aiosmtpd.controller import Controller

LINK = re.compile(r"http\S+/i/[0-9a-f-]{36}#[\w-]{22}")


class Relay:
    """Mails in the order in which they came."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self._came = threading.Condition()

    async def handle_DATA(self, _server: object, _session: object, envelope: object) -> str:
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        with self._came:
            self.mails.append(mail)
            self._came.notify_all()
        return "250 OK"

    def mail_to(self, address: str, number: int = 1, seconds: float = 30) -> EmailMessage:
        """The first, second … mail to an address, once it is there."""

        def found() -> list[EmailMessage]:
            return [mail for mail in self.mails if address in str(mail["To"])]

        with self._came:
            assert self._came.wait_for(lambda: len(found()) >= number, seconds), f"no mail to {address}"
            return found()[number - 1]

    def link_to(self, address: str, number: int = 1) -> str:
        """The link in that mail."""
        return links_in(self.mail_to(address, number), "plain")[0]


def links_in(mail: EmailMessage, kind: str) -> list[str]:
    """The candidate's links in one of the two forms of a mail."""
    part = mail.get_body((kind,))
    assert part is not None
    return LINK.findall(part.get_content())


@contextlib.contextmanager
def running() -> Iterator[tuple[Relay, int]]:
    """A relay and its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    relay = Relay()
    controller = Controller(relay, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield relay, port
    finally:
        controller.stop()
