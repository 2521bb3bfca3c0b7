"""What a run shows while it trains: console lines, TensorBoard, samples, profiles."""
