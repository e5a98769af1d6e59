"""Every patch of vLLM, each with the versions it was written for and the upstream symbol it leans on."""
