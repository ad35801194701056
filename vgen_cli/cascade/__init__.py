"""The cascade: from a plan to a finished clip, stage by stage."""
