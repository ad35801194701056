"""Text encoders: prompts in, features and a mask out. Knows nothing of video."""
