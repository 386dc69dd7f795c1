"""What the audit says of sellers' postbacks, without the secrets that it once wrote down with them.

A change of `postbacks` was written with the webhooks' secrets and what follows the `?` of their URLs. Such a line was
cut after so many characters, so it cannot be read back and written anew: it only says that they were changed.
"""

from __future__ import annotations

import json
import re

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

_POSTBACKS = "postbacks: "
_CHANGED = f"{_POSTBACKS}(changed)"
_HIDDEN = re.compile(r"\bsecret: \(secret\)")
_TOLD = re.compile(r"secret|whsec_|\?(?!\.\.\.)")


def upgrade() -> None:
    """Old lines that show a secret, or may, say no more than that there was a change."""
    conn = op.get_bind()
    audit = sa.table("audit", sa.column("id"), sa.column("kind"), sa.column("changes"))
    of_postbacks = sa.select(audit.c.id, audit.c.changes).where(
        audit.c.kind == "seller", audit.c.changes.contains(_POSTBACKS, autoescape=True)
    )
    for id_, written in conn.execute(of_postbacks).all():
        lines = json.loads(written)
        shown = [_CHANGED if _shows_secrets(line) else line for line in lines]
        if shown != lines:
            change = sa.update(audit).where(audit.c.id == id_)
            conn.execute(change.values(changes=json.dumps(shown, ensure_ascii=False, separators=(",", ":"))))


def _shows_secrets(line: str) -> bool:
    return line.startswith(_POSTBACKS) and _TOLD.search(_HIDDEN.sub("", line)) is not None
