"""How fast a model's stages are on this machine.

    weights.py   parts with random weights, at their real shapes, without a file
    flops.py     operations of a network, counted from the shapes that pass through it
    measure.py   the stages of a plan, timed; and what the device can do at most
    against.py   the same networks through the classes of diffusers

The stages are the cascade's own. Knows no command and prints nothing.
"""
