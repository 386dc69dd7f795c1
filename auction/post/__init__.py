"""The post's way: one lead, from an open ping to a sale."""
