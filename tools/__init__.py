"""Scripts that run the notebooks, build the book and keep the two honest."""
