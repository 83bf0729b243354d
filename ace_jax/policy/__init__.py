"""The language model: architecture, weights, tokenizer, sharding."""
