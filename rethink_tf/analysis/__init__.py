"""Analysis of trained networks: measures, sharpness, random signs, the randomisation test."""
