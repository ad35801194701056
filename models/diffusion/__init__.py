"""Schedules, the denoiser contract, guidance, samplers, latents: the mathematics that every family shares.

Knows no network, file or device. Importing this package costs nothing; `names` and `sigmas` never need torch.
"""
