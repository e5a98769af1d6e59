"""The server's sums over tokens: shown, saved as files, added up, and given to a server."""
