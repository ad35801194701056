"""The Wan family: a transformer, two generations of causal autoencoder."""
