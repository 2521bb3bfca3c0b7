"""The studies of the theory: each is a run that its command starts and prints."""
