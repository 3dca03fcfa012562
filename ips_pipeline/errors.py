"""One exception class per exit code. Messages are one line, say what, where and the next step, and never hold a patient's value."""

from __future__ import annotations

from typing import ClassVar


class IpsError(Exception):
    """Base of every failure a person is told about; its text is safe to log and to show."""

    exit_code: ClassVar[int] = 1


class UsageError(IpsError):
    """The command, or the site's settings, were used wrongly."""

    exit_code = 2


class InputError(IpsError):
    """A source or an input could not be read."""

    exit_code = 11


class SubmissionRejected(IpsError):
    """The submission is rejected as a file: nothing of it would be loaded."""

    exit_code = 13


class PublishError(IpsError):
    """A release could not be written or made current."""

    exit_code = 15


class RetryableError(IpsError):
    """A fault that may pass by itself: a lost connection, a locked file, a full queue."""

    exit_code = 20
