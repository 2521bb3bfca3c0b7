"""Pictures: the shared style, learning curves, figures of the theory."""
