"""What a run shows: progress, metrics, the final table, the report."""
