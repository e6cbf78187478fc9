"""Models: encoders and what is built from them (chapters 2.2, 3 and 5)."""
