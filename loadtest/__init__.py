"""Load on an exchange as sellers make it: random plausible leads, pinged, thought about, posted."""
