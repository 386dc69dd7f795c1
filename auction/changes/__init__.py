"""Changes of the catalogue and of lists: by files, by operators and by buyers; each in turn, checked and stored."""
