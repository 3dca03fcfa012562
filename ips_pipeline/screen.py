"""What a person sees of a long run: lines that stay, and on a terminal one line about what is running now."""

from __future__ import annotations

from typing import TextIO


class Screen:
    """The terminal, or the pipe. A terminal also gets one line that says what is running now; a pipe never does."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()

    def say(self, line: str) -> None:
        """Print a line that stays."""
        self._erase()
        print(line, file=self._stream, flush=True)

    def now(self, line: str) -> None:
        """Show what is running, until the next line replaces it."""
        if self._live:
            self._erase()
            print(line, end="", file=self._stream, flush=True)

    def _erase(self) -> None:
        if self._live:
            print("\r\x1b[K", end="", file=self._stream)
