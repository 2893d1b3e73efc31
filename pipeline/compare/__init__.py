"""Compare: what finished runs have in common, where they differ, and which came out better."""
