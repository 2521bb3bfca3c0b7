"""From a command line to a call: one file a command."""
