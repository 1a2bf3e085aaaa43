from __future__ import annotations

import datetime as dt
import socket
import ssl
import stat
from collections.abc import Iterator
from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from appliance import notify, texts
from appliance.config import Database, Settings, Smtp
from appliance.embedded.certificate import ensure
from appliance.errors import InvalidInputError

LINK = "https://interview.example.com/i/6f0e8c0e-7f5f-4a43-9c62-2f8f6a4c1d11#Zm9vYmFyYmF6cXV4"
DEADLINE = dt.datetime(2026, 11, 28, 6, 0, tzinfo=dt.UTC)


@pytest.fixture
def site(tmp_path: Path) -> Settings:
    return Settings(
        data=tmp_path,
        staff_url="",
        intake_url="",
        database=Database("/nowhere"),
        smtp=Smtp(sender="hr@example.com"),
        site="示例公司",
    )


def invitation(language: str = "zh", **changes: str) -> notify.Invitation:
    return notify.Invitation(
        name="王小明",
        email="ming@example.com",
        language=language,
        title="后端工程师 <高级>",
        link=LINK,
        deadline=DEADLINE,
        guide=texts.guide(language),
        **changes,
    )


def part(message: EmailMessage, kind: str) -> str:
    return message.get_body((kind,)).get_content()


@pytest.mark.parametrize("language", texts.LANGUAGES)
@pytest.mark.parametrize("reason", ["invite", "again", "rebind"])
def test_a_mail_has_link_guide_and_deadline_in_both_forms(site: Settings, language: str, reason: str) -> None:
    message = notify.compose_invitation(site, invitation(language, reason=reason))
    plain, html = part(message, "plain"), part(message, "html")
    assert LINK in plain
    assert f'href="{LINK}"' in html
    for tip in texts.guide(language).splitlines():
        assert tip in plain
    assert notify.format_deadline(DEADLINE, language) in plain
    assert "&lt;" in html
    assert "<高级>" not in html
    assert message["Content-Language"] == {"zh": "zh-CN", "en": "en"}[language]


def test_each_reason_says_why_the_mail_came(site: Settings) -> None:
    bodies = {
        reason: part(notify.compose_invitation(site, invitation(reason=reason)), "plain")
        for reason in ("invite", "again", "rebind")
    }
    assert "另一个浏览器" in bodies["rebind"]
    assert "新链接" in bodies["again"]
    assert len(set(bodies.values())) == 3


def test_a_mail_says_whom_to_ask(site: Settings) -> None:
    for language, nobody in (("zh", "请联系：邀请您的人"), ("en", "Please ask: the person who invited you")):
        unset = notify.compose_invitation(site, invitation(language))
        told = notify.compose_invitation(site, invitation(language, contact="Ms Lin, +86 10 5555 0100"))
        for kind in ("plain", "html"):
            assert nobody in part(unset, kind)
            assert "Ms Lin, +86 10 5555 0100" in part(told, kind)
            assert nobody not in part(told, kind)


def test_the_deadline_names_the_weekday_and_the_time_zone() -> None:
    shown = notify.format_deadline(dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC), "zh")
    assert "2026年11月2" in shown
    assert "星期" in shown
    assert "UTC" in shown


@pytest.mark.parametrize("address", ["", "nobody", "a@", "@b", "a@b\r\nBcc: c@d", "a b@c.cn"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidInputError):
        notify.to_address("x", address)


def test_a_title_cannot_add_a_header(site: Settings) -> None:
    hostile = replace(invitation(), title="job\r\nBcc: everyone@example.com")
    message = notify.compose_invitation(site, hostile)
    assert message["Bcc"] is None
    assert message_from_bytes(message.as_bytes(), policy=policy.default)["Bcc"] is None


def test_without_a_relay_mails_lie_in_the_spool_for_our_user_only(site: Settings) -> None:
    for _ in range(2):
        notify.send(site, notify.compose_invitation(site, invitation()))
    first, second = sorted(site.spool_folder.iterdir())
    assert {first.suffix, second.suffix} == {".eml"}
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    assert stat.S_IMODE(site.spool_folder.stat().st_mode) == 0o700
    kept = message_from_bytes(first.read_bytes(), policy=policy.default)
    assert LINK in part(kept, "plain")
    assert f"\n{LINK}\n" in first.read_text(), "read in the folder, the link is whole"


class Relay:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []

    async def handle_DATA(self, _server: object, _session: object, envelope: object) -> str:
        self.taken.append(envelope.content)
        return "250 OK"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[tuple[Relay, Controller, Path]]:
    """A real SMTP server that demands STARTTLS and a password."""
    folder = tmp_path / "tls"
    folder.mkdir()
    certificate = ensure(folder, ["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    handler = Relay()

    def authenticate(
        _server: object, _session: object, _envelope: object, _mechanism: str, data: object
    ) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (b"fupan", b"correct horse"), handled=False)

    controller = Controller(
        handler,
        hostname="127.0.0.1",
        port=free_port(),
        tls_context=context,
        require_starttls=True,
        auth_required=True,
        authenticator=authenticate,
    )
    controller.start()
    yield handler, controller, certificate.certificate
    controller.stop()


def with_relay(site: Settings, controller: Controller, ca_file: str, password: str) -> Settings:
    site.secrets_folder.mkdir()
    (site.secrets_folder / "smtp_password").write_text(password + "\n")
    return replace(
        site,
        smtp=Smtp(
            "127.0.0.1",
            controller.port,
            starttls=True,
            username="fupan",
            sender="hr@example.com",
            ca_file=ca_file,
        ),
    )


def test_a_relay_gets_the_mail_over_tls_with_a_checked_certificate(
    site: Settings, relay: tuple[Relay, Controller, Path]
) -> None:
    handler, controller, certificate = relay
    there = with_relay(site, controller, str(certificate), "correct horse")
    notify.send(there, notify.compose_invitation(there, invitation()))
    [taken] = handler.taken
    message = message_from_bytes(taken, policy=policy.default)
    assert message["To"].addresses[0].addr_spec == "ming@example.com"
    assert LINK in part(message, "plain")


@pytest.mark.parametrize(("trusted", "password"), [(False, "correct horse"), (True, "wrong")])
def test_an_unknown_certificate_or_a_wrong_password_sends_nothing(
    site: Settings, relay: tuple[Relay, Controller, Path], trusted: bool, password: str
) -> None:
    handler, controller, certificate = relay
    there = with_relay(site, controller, str(certificate) if trusted else "", password)
    with pytest.raises(notify.MailError):
        notify.send(there, notify.compose_invitation(there, invitation()))
    assert handler.taken == []


def test_a_relay_that_is_away_is_said(site: Settings) -> None:
    away = replace(site, smtp=Smtp("127.0.0.1", 1))
    with pytest.raises(notify.MailError, match="ConnectionRefusedError"):
        notify.send(away, notify.compose_invitation(site, invitation()))
