"""data.geography: the check, accuracy by region, and maps and tables."""
