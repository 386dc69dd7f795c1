"""Leads and pings as they may be seen: by their seller, and by operators."""
