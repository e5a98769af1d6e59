"""Page: one HTML file with its own data, script and style, that asks no network for anything."""
