"""What Alembic runs: on the connection, and inside the transaction, that `upgrade` opened."""

from __future__ import annotations

from alembic import context

from auction.ledger.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
