"""How fast a model's stages are on this machine.

    weights.py   parts with random weights, at their real shapes, without a file
    given.py     prompts and pictures drawn at random
    flops.py     operations of networks, counted from the shapes that pass through them
    measure.py   the stages of a plan, timed; and what the device can do at most
    against.py   the same networks through the classes of diffusers, which are called in
    theirs.py    with our tensors, family by family in theirs_ltx.py and theirs_wan.py

The stages are the cascade's own. Knows no command and prints nothing.
"""
