"""Networks and mathematics of vgen: tensors and weight files, and nothing of commands, terminals or video files."""
