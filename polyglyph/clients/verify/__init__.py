"""`polyglyph verify`: the promises of a running server, each checked from outside through the OpenAI client."""
