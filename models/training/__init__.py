"""How the embedded model was made: a rendered world with captions, losses, the loop, evaluation."""
