"""One run directory: what is written, read, resumed and named."""
