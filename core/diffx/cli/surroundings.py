"""What a process takes for granted, made so: standard streams, a name of the user, a working folder."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from typing import Any

from diffx.errors import DiffxError, UsageError

GONE = (errno.EPIPE, errno.EIO, errno.EBADF)  # the reader has ended; the terminal was closed; the stream is closed


class Patient(io.TextIOWrapper):
    """A text stream that falls silent where its reader goes away, and escapes what its encoding lacks.

    Raises DiffxError, once, where standard output cannot be written for another reason, such as a full disk: what was
    asked for is lost then. Standard error only tells of the work, and does not end it.
    """

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self._forget(error)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._forget(error)

    def _forget(self, error: OSError) -> None:
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, self.fileno())  # what waits in the buffer goes there too
        os.close(devnull)
        if self.fileno() == 1 and error.errno not in GONE:
            raise DiffxError(f"standard output cannot be written: {error.strerror}") from error


def _own_bytes_or_escapes(error: UnicodeError) -> tuple[str | bytes, int]:
    """Undecoded bytes of a file's name become themselves again, what the encoding lacks becomes an escape."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.backslashreplace_errors(error)


def settle() -> None:
    """Called once, before anything else. Raises UsageError where the working folder was removed."""
    _settle_streams()
    _name_user()
    try:
        os.getcwd()
    except OSError as error:
        raise UsageError(f"the working folder cannot be read ({error.strerror}): cd to one that is there") from error


def _settle_streams() -> None:
    """Make the standard streams patient ones; those that somebody replaced are left alone.

    A descriptor that was closed (`2>&-`, a service, pythonw) is opened on the null device first: otherwise the next
    file to be opened takes its number, and libraries that write to the standard error write into that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    sys.stdout = _patient(sys.stdout, 1)
    sys.stderr = _patient(sys.stderr, 2)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115


def _name_user() -> None:
    """A user of a container has a number but maybe no name, and packages that ask for one raise KeyError."""
    if os.name == "posix":
        import pwd

        try:
            pwd.getpwuid(os.getuid())
        except KeyError:
            os.environ.setdefault("LOGNAME", f"uid-{os.getuid()}")


def _patient(stream: Any, number: int) -> Any:
    if stream is None:
        return Patient(open(number, "wb", closefd=False), encoding="utf-8", errors="backslashreplace")
    if type(stream) is not io.TextIOWrapper:
        return stream
    stream.flush()
    errors = "backslashreplace"
    if stream.errors == "surrogateescape":  # Python's choice in the C locale
        errors = "diffx.own_bytes_or_escapes"
        codecs.register_error(errors, _own_bytes_or_escapes)
    return Patient(
        stream.buffer,
        encoding=stream.encoding,
        errors=errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
