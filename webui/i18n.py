"""Languages, dates and numbers. Chinese first, English complete; both typeset with care."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

from flask import Flask, Response, g, has_request_context, request
from flask_babel import Babel, get_locale
from flask_babel import gettext as _
from markupsafe import Markup

CHINESE = "zh_Hans_CN"
ENGLISH = "en"
COOKIE = "fupan_lang"
TRANSLATIONS = Path(__file__).parent / "translations"


def install(app: Flask, default: str, *, cookie: bool) -> None:
    """Flask-Babel with our locale choice, and the formatters as template filters."""
    app.config["BABEL_DEFAULT_LOCALE"] = locale_of(default) or CHINESE
    app.config["BABEL_TRANSLATION_DIRECTORIES"] = str(TRANSLATIONS)
    Babel(app, locale_selector=lambda: choose(default, cookie=cookie))
    if cookie:
        app.after_request(_remember)
    app.jinja_env.filters.update(
        when=when, day=day, clock=clock, size=size, number=number, spoken=spoken_duration, percent=percent
    )
    app.jinja_env.globals.update(
        html_lang=html_lang, other_language=other_language, offset=utc_offset, day_text=day_text
    )


def locale_of(text: str | None) -> str | None:
    """Our locale for a language tag such as zh, zh-CN or en-GB; None when we do not speak it."""
    head = (text or "").replace("_", "-").split("-")[0].lower()
    return {"zh": CHINESE, "en": ENGLISH}.get(head)


def choose(default: str, *, cookie: bool) -> str:
    """?lang=, then the remembered choice, the account's, the browser's, the site's."""
    site = locale_of(default) or CHINESE
    if not has_request_context():
        return site
    if asked := locale_of(request.args.get("lang")):
        return asked
    if cookie and (kept := locale_of(request.cookies.get(COOKIE))):
        return kept
    user = g.get("user")
    if user is not None and (own := locale_of(user.locale)):
        return own
    for tag, quality in request.accept_languages:
        if quality > 0 and (spoken := locale_of(tag)):
            return spoken
    return site


def _remember(response: Response) -> Response:
    if locale_of(request.args.get("lang")):
        lang = "zh" if locale_of(request.args["lang"]) == CHINESE else "en"
        secure = request.is_secure
        response.set_cookie(COOKIE, lang, max_age=31536000, httponly=True, samesite="Lax", secure=secure)
    return response


def in_chinese() -> bool:
    """Whether this answer is in Chinese."""
    return str(get_locale()).startswith("zh")


def html_lang() -> str:
    """The lang attribute of the page."""
    return "zh-Hans" if in_chinese() else "en"


def other_language() -> tuple[str, str]:
    """The other language's code and its own name, for the switch."""
    return ("en", "English") if in_chinese() else ("zh", "中文")


def local(moment: datetime) -> datetime:
    """An instant in the server's own time zone (the site's)."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone()


def utc_offset() -> str:
    """The site's time zone as people read it: UTC+08:00."""
    text = datetime.now(UTC).astimezone().strftime("%z")
    return f"UTC{text[:3]}:{text[3:]}"


def when_text(moment: datetime | None, *, seconds: bool = False) -> str:
    """2026年11月21日 14:02, or 21 Nov 2026, 14:02."""
    if moment is None:
        return "–"
    at = local(moment)
    tail = at.strftime("%H:%M:%S" if seconds else "%H:%M")
    return f"{day_text(at)} {tail}" if in_chinese() else f"{day_text(at)}, {tail}"


def when(moment: datetime | None, seconds: bool = False) -> Markup | str:
    """A <time> element for an instant."""
    if moment is None:
        return "–"
    stamp = local(moment).isoformat(timespec="seconds")
    return Markup('<time datetime="{}">{}</time>').format(stamp, when_text(moment, seconds=seconds))


def day_text(moment: datetime | date) -> str:
    """2026年11月21日, or 21 Nov 2026."""
    if in_chinese():
        return f"{moment.year}年{moment.month}月{moment.day}日"
    return f"{moment.day} {moment.strftime('%b %Y')}"


def day(moment: datetime | date | None) -> Markup | str:
    """A <time> element for a day."""
    if moment is None:
        return "–"
    at = local(moment) if isinstance(moment, datetime) else moment
    return Markup('<time datetime="{}">{}</time>').format(at.isoformat()[:10], day_text(at))


def clock(milliseconds: float | None) -> str:
    """m:ss or h:mm:ss on a player's clock."""
    if milliseconds is None:
        return "–:––"
    seconds = int(milliseconds // 1000)
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def spoken_duration(seconds: float | None) -> str:
    """A length in words: 2 min 05 s, 2 分 5 秒."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return _("%(s)s s", s=rest)
    return _("%(m)s min %(s)s s", m=minutes, s=rest) if rest else _("%(m)s min", m=minutes)


def size(count: float | None) -> str:
    """Bytes as people read them, in decimal units."""
    if count is None:
        return "–"
    value = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"


def number(value: float | None, digits: int = 0) -> str:
    """A number with thousands separated."""
    return "–" if value is None else f"{value:,.{digits}f}"


def percent(share: float | None) -> str:
    """A share of one as a percentage."""
    return "–" if share is None else _("%(n)s %%", n=f"{share * 100:.0f}")
