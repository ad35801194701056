"""Layers that several families share; each file stands alone and names the shape of everything it takes."""
