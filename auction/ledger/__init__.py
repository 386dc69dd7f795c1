"""The durable truth, in SQL: leads, offers, sales, the log of pings, every version of the catalogue."""
