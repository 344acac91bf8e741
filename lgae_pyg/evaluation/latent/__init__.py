"""What the codes of jets hold."""
