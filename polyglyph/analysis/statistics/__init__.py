"""Statistics: shares, paired differences and what hangs together, each with its interval or the reason for none."""
