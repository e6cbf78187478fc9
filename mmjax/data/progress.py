"""A line on stdout that overwrites itself while bytes arrive."""

import time

_EVERY = 0.1  # seconds between two pictures of the bar


class Bar:
    """A progress bar for a file of known or unknown length."""

    def __init__(self, name: str, *, shown: bool = True):
        self._name, self._shown = name, shown
        self._waiting, self._drawn_at = "", None

    def show(self, done: int, total: int | None) -> None:
        """Draws `done` of `total` bytes, at most ten times a second."""
        if total:
            text = f"{'█' * (20 * done // total):░<20} {done / 1e6:.1f}/{total / 1e6:.1f} MB"
        else:
            text = f"{done / 1e6:.1f} MB"
        self._waiting = f"\r{text}  {self._name}"
        if self._drawn_at is None or time.monotonic() - self._drawn_at > _EVERY:
            self._draw()

    def end(self) -> None:
        """Draws what is latest and ends the line, if there is one."""
        if self._waiting:
            self._draw()
        if self._shown and self._drawn_at is not None:
            print(flush=True)
        self._drawn_at = None

    def _draw(self) -> None:
        if self._shown:
            print(self._waiting, end="", flush=True)
        self._waiting, self._drawn_at = "", time.monotonic()
