"""How many and which release: the one loop, overrides and the journal."""
