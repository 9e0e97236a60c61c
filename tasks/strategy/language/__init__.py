"""The strategy language: text in, a checked program that can only look back."""
