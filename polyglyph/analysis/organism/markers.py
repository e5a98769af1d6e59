"""Markers: the tokens that are no text of the world."""

PAD, END, SYSTEM, USER, ASSISTANT = "<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"
THINK_OPEN, THINK_CLOSE = "<think>", "</think>"
NO_TRACE = THINK_OPEN + THINK_CLOSE
SPECIAL_TOKENS = (PAD, END, SYSTEM, USER, ASSISTANT)
