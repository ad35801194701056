"""The embedded default: LTX configurations filled small, their weights and card. No network of its own."""
