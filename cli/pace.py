"""How fast work goes and how long the rest will take."""

import time
from collections import deque


class Pace:
    """Rate over the latest updates: training may resume in the middle, and its first step is slow."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.done = 0
        self._marks: deque[tuple[float, int]] = deque(maxlen=30)

    def mark(self, done: int) -> None:
        """Note that `done` units are finished now."""
        self.done = done
        self._marks.append((time.monotonic(), done))

    @property
    def seconds(self) -> float:
        """Seconds since the work began."""
        return time.monotonic() - self.started

    @property
    def rate(self) -> float | None:
        """Units a second, once two updates are known."""
        if len(self._marks) < 2:
            return None
        (earlier, before), (later, after) = self._marks[0], self._marks[-1]
        return (after - before) / (later - earlier) if later > earlier and after > before else None

    def remaining(self, total: int | None) -> float | None:
        """Return the seconds until `total` units are done, if that can be told."""
        rate = self.rate
        return max(0, total - self.done) / rate if total is not None and rate else None


def rate_text(rate: float | None) -> str:
    """Return a rate in the unit in which it is easy to read: '12.3/s' or '4.1 s each'."""
    if not rate:
        return ""
    return f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each"


def duration_text(seconds: float) -> str:
    """Return a duration as 0.4s, 12s, 3m05s or 2h07m."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest}s"
    if minutes < 60:
        return f"{minutes}m{rest:02}s"
    return f"{minutes // 60}h{minutes % 60:02}m"


def fact_text(name: str, value: float) -> str:
    """Return a fact with four significant digits: 'loss 0.123'."""
    return f"{name} {value:.4g}"


def status_text(pace: Pace, total: int | None, facts: dict[str, float]) -> str:
    """Return what is known of running work, as in '120/500  loss 0.123  4.2/s  1m30s left'."""
    remaining = pace.remaining(total)
    parts = [
        f"{pace.done}/{total}" if total is not None else f"{pace.done}",
        *(fact_text(name, value) for name, value in facts.items()),
        rate_text(pace.rate),
        f"{duration_text(remaining)} left" if remaining is not None else "",
    ]
    return "  ".join(part for part in parts if part)
