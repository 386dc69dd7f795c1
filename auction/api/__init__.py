"""The doors: HTTP in and out, one file per dialect; no rules of its own."""
