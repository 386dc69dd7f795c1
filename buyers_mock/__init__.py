"""Plays any number of buyers from a YAML script: for testers, new buyers, and the exchange's own tests."""
