"""Networks that tell kinds of jets apart."""
