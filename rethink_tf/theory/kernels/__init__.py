"""Kernel interpolation at full size: Gram matrices, factors, features (Table 3)."""
