"""Pure maths: arrays in, arrays out. No flax, no config, no I/O."""
