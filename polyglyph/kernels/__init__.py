"""One folder per operation on routing tensors, each with its plain torch reference."""
