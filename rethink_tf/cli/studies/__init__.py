"""Commands of the studies: theory, measures of networks, what was memorised."""
