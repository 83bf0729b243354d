"""Prompts in, completions with their log-probs out."""
