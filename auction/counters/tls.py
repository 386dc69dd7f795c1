"""TLS to the counters and to their sentinels: one context for all connections.

To make one reads every certificate that the machine trusts, which takes the loop tens of milliseconds: more than a call
may take, and sentinels are asked every second.
"""

from __future__ import annotations

import ssl
from functools import cache


@cache
def client_context() -> ssl.SSLContext:
    """Trusts whom this machine trusted when it was asked first, and checks whose certificate it is."""
    return ssl.create_default_context()
