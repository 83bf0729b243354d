"""Parameters and how they change."""
