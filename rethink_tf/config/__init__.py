"""The configuration of a run: RunConfig, its flags, the run id, and the paper's numbers."""
