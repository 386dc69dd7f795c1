"""Which processes are there."""

from __future__ import annotations

import os
import subprocess
import sys

from auction.process import host_name, is_alive


def test_who_is_alive() -> None:
    assert is_alive(os.getpid())
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert is_alive(child.pid)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not is_alive(child.pid), "it has ended, though nobody has asked how"
    assert not is_alive(child.pid)


def test_the_host_is_the_same_for_all_processes_of_a_machine() -> None:
    ask = "from auction.process import host_name; print(host_name())"
    said = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == host_name()
