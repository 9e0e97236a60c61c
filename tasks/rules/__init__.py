"""Strategies over research: their texts, frames, exit rules' recipes, and signals."""
