"""The typed conversions a mapping may name, both ways: theirs → ours for requests, ours → theirs for answers."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from contracts.currencies import exponent_of
from dialects.declared.declaration import (
    AsText,
    Conversion,
    Date,
    Enumeration,
    Moment,
    Money,
    Percent,
    Whole,
)


class NotConvertible(Exception):
    """A value is not what the conversion takes; the message says what it takes, never the value."""


def to_ours(conversion: Conversion, value: Any, currency: str, zone: str) -> Any:
    """A merchant's value as a canonical JSON value. Raises NotConvertible."""
    if isinstance(value, list):
        return [to_ours(conversion, one, currency, zone) for one in value]
    match conversion:
        case Money(unit="minor"):
            return _whole(_number(value, "."))
        case Money(decimal=mark):
            precision = exponent_of(currency)
            return _whole(
                _number(value, mark).scaleb(precision),
                f"an amount of {currency} with at most {precision} decimals",
            )
        case Percent(paid=paid):
            points = _whole(_number(value, ".") * 100, "a percentage with at most 2 decimals")
            return 10_000 - points if paid else points
        case Date(format=form):
            return _parsed(value, form).date().isoformat()
        case Moment(format=None):
            return _aware(_from_iso(value), conversion.zone or zone).isoformat()
        case Moment(format=form):
            return _aware(_parsed(value, str(form)), conversion.zone or zone).isoformat()
        case Enumeration(words=words):
            text = _text(value)
            if text not in words:
                raise NotConvertible(f"must be one of {', '.join(words)}")
            return words[text]
        case Whole():
            return _whole(_number(value, "."))
        case AsText():
            return _text(value)


def to_theirs(conversion: Conversion, value: Any, currency: str, zone: str) -> Any:
    """A canonical value in the merchant's words. Raises NotConvertible."""
    if isinstance(value, list):
        return [to_theirs(conversion, one, currency, zone) for one in value]
    match conversion:
        case Money(unit="minor"):
            return _whole(_number(value, "."))
        case Money(decimal=mark):
            precision = exponent_of(currency)
            return f"{_number(value, '.').scaleb(-precision):.{precision}f}".replace(".", mark)
        case Percent(paid=paid):
            points = _number(value, ".")
            share = (10_000 - points if paid else points) / 100
            return format(share.normalize(), "f")
        case Date(format=form):
            return _day(value, zone).strftime(form)
        case Moment(format=form):
            moment = _aware(_from_iso(value), "UTC").astimezone(ZoneInfo(conversion.zone or zone))
            return moment.isoformat() if form is None else moment.strftime(form)
        case Enumeration(words=words):
            text = _text(value)
            return next((theirs for theirs, ours in words.items() if ours == text), text)
        case Whole():
            return _whole(_number(value, "."))
        case AsText():
            return _text(value)


def _number(value: Any, mark: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise NotConvertible("must be a number")
    text = str(value)
    if mark == "," and isinstance(value, str):
        text = text.replace(".", "x").replace(",", ".")
    try:
        made = Decimal(text)
    except InvalidOperation:
        raise NotConvertible(f"must be a number such as 12{mark}50") from None
    # Decimal reads much that is no amount: NaN, Infinity, 1e9, underscores, digits of other scripts.
    if not made.is_finite() or not set(text) <= set("-0123456789.") or len(text) > 24:
        raise NotConvertible(f"must be a number such as 12{mark}50")
    return made


def _whole(number: Decimal, what: str = "a whole number") -> int:
    if number != number.to_integral_value():
        raise NotConvertible(f"must be {what}")
    return int(number)


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise NotConvertible("must be text or a number")
    return value if isinstance(value, str) else str(value)


def _parsed(value: Any, form: str) -> datetime:
    try:
        return datetime.strptime(_text(value), form)
    except ValueError:
        raise NotConvertible(f"must be in the form {form}") from None


def _from_iso(value: Any) -> datetime:
    try:
        return datetime.fromisoformat(_text(value))
    except ValueError:
        raise NotConvertible("must be a date and time such as 2026-01-31T12:00:00+01:00") from None


def _aware(moment: datetime, zone: str) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=ZoneInfo(zone))


def _day(value: Any, zone: str) -> date:
    text = _text(value)
    if len(text) == 10:
        try:
            return date.fromisoformat(text)
        except ValueError:
            raise NotConvertible("must be a day") from None
    return _aware(_from_iso(text), "UTC").astimezone(ZoneInfo(zone)).date()
