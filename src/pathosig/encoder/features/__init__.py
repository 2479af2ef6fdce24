"""Imports embeddings that other programs computed."""
