"""`python -m auction` is `auction`."""

from auction.cli import main

main()
