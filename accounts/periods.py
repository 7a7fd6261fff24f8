"""Calendar periods in the platform's time zone (pure)."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)


def bounds(period: str, now: datetime, zone: str) -> tuple[datetime, datetime | None]:
    """Start (included) and end (excluded) of the day, ISO week, month or lifetime around ``now``.

    Midnights are local ones: in a zone with daylight saving a day may have 23 or 25 hours.
    """
    tz = ZoneInfo(zone)
    today = now.astimezone(tz).date()
    if period == "total":
        return BEGINNING, None
    if period == "day":
        first, after = today, today + timedelta(days=1)
    elif period == "week":
        first = today - timedelta(days=today.weekday())
        after = first + timedelta(days=7)
    else:
        first = today.replace(day=1)
        after = (first + timedelta(days=32)).replace(day=1)
    return (
        datetime.combine(first, time.min, tz).astimezone(UTC),
        datetime.combine(after, time.min, tz).astimezone(UTC),
    )


def of_day(day: date, zone: str) -> tuple[datetime, datetime]:
    """Start (included) and end (excluded) of a day of the zone."""
    tz = ZoneInfo(zone)
    days = (day, day + timedelta(days=1))
    first, after = (datetime.combine(each, time.min, tz).astimezone(UTC) for each in days)
    return first, after
