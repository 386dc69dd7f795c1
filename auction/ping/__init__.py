"""The ping's way: one auction, from the fields of a lead to a held offer."""
