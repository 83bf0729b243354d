"""Where problems come from, and where their attempts are kept."""
