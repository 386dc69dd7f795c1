"""The counters and the ledger made to agree: compared, rebuilt, and told what they cannot know (P10)."""
