"""Real names: cities, countries and time zones in nine scripts, a benchmark of them and an organism taught on them."""
