"""Being told to stop while there is no loop yet that could be told.

A signal is noted, and noticed between the steps of a start, so that none is left half done: an exception out of a
signal handler could lose a child process between its start and the name it is kept by.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopping:
    """From its making on, SIGTERM and SIGINT are noted. Asked twice, the process ends as it stands."""

    def __init__(self) -> None:
        self._asked = False
        for number in SIGNALS:
            signal.signal(number, self._note)

    def asked(self) -> bool:
        """Whether we are to stop. A loop asks once it listens to the signals itself."""
        return self._asked

    def end_if_asked(self) -> None:
        """Between two steps: ends the program well, closing all that was opened."""
        if self._asked:
            sys.exit(0)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self._asked = True
