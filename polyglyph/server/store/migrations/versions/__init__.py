"""One module per layout; a released one is never changed."""
