"""What a run is: RunConfig, its flags, its identity, and the paper's numbers."""
