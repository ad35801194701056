"""The LTX-Video family: a transformer, three generations of autoencoder, latent upsamplers."""
