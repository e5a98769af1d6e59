"""Python client and the command line; needs neither torch nor vLLM."""
