"""Image encoders: pictures in, features out. Knows nothing of video."""
