"""What a policy is worth: samples before and after RL, and the protocol."""
