"""Suppression lists: who is not to be called, in lists of millions, looked up in microseconds."""
