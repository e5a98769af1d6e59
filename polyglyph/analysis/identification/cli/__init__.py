"""The subcommands of `polyglyph identify`: one module per method, and the options that they share."""
