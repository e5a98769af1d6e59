"""Rules: guess the source script of a question with no oracle, so that `auto` can choose a plan."""
