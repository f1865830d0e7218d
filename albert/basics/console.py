"""What scripts print, where the terminal cannot show it or nobody reads it any longer."""

import codecs
import contextlib
import errno
import os
import sys
import time

from albert.basics.errors import reason

# Nobody will ever read again what is written there.
_GONE = (errno.EPIPE, errno.EIO, errno.EBADF, errno.ECONNRESET)
_ERRORS = "albert_escape"
# In the output folder of a run; holds what nobody may be there to read.
LOG_FILE = "training.log"
_told = []


def _escape(error):
    """Error handler of encoding: escapes as Python's source has them, said once."""
    if not _told:
        _told.append(True)
        print(
            "warning: the standard output is %s and cannot show all characters; they are written "
            "as \\uXXXX. Set PYTHONIOENCODING=utf-8 to have them as they are." % error.encoding,
            file=sys.stderr,
        )
    return codecs.lookup_error("backslashreplace")(error)


codecs.register_error(_ERRORS, _escape)


def write_whatever_is_printed():
    """Makes stdout and stderr write what their encoding lacks as escapes, not end the script.

    What the user has chosen by PYTHONIOENCODING stays, but for "strict", which is the default.
    """
    for stream, errors in ((sys.stdout, _ERRORS), (sys.stderr, "backslashreplace")):
        # An output that takes any bytes of file names, in UTF-8, takes them further on.
        passes = codecs.lookup(getattr(stream, "encoding", None) or "utf-8").name == "utf-8"
        kept = ("surrogateescape",) if passes else ()
        if getattr(stream, "errors", None) in {"strict", "surrogateescape"} - set(kept):
            stream.reconfigure(errors=errors)


class _Lasting:
    """A stream whose failures end nothing.

    Args:
        stream: text stream.
        failed: function of the first `OSError`.
    """

    def __init__(self, stream, failed):
        self._stream = stream
        self._failed = failed

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        self._try(self._stream.write, text)
        return len(text)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        self._try(self._stream.flush)

    def finish(self):
        """The last `flush`: what cannot be written now is dropped."""
        self._try(self._stream.flush, is_last=True)

    def _try(self, function, *arguments, is_last=False):
        try:
            function(*arguments)
        except OSError as error:
            if is_last or error.errno in _GONE:  # what is buffered shall not fail again at exit
                with open(os.devnull, "wb") as nothing:
                    os.dup2(nothing.fileno(), self._stream.fileno())
            self._failed(error)


@contextlib.contextmanager
def lasting_output(log_file):
    """Context in which a script goes on when its stdout or stderr cannot be written any more.

    A pipe whose reader has ended, a terminal that has closed, a full disk: said once, in a file
    and on the other stream.

    Args:
        log_file: local path of the file to add the sentence to.
    """
    streams = sys.stdout, sys.stderr
    told = set()

    def failed(name, other):
        def tell(error):
            if name in told:
                return
            told.add(name)
            line = "%s: %s cannot be written any more (%s); the run goes on without it." % (
                time.strftime("%Y-%m-%d %H:%M:%S"),
                name,
                reason(error),
            )
            # A log that cannot be written ends nothing either.
            with contextlib.suppress(OSError), open(log_file, "a", encoding="utf-8") as log:
                log.write(line + "\n")
            print("warning: " + line, file=getattr(sys, other), flush=True)

        return tell

    for name, other in (("stdout", "stderr"), ("stderr", "stdout")):
        if getattr(sys, name) is not None:  # None: it was closed from the start
            setattr(sys, name, _Lasting(getattr(sys, name), failed(name, other)))
    try:
        yield
    finally:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.finish()
        sys.stdout, sys.stderr = streams
