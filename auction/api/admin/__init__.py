"""The doors of operators: `/admin/…`, with keys and scopes of their own."""
