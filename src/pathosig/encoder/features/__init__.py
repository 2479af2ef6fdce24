"""Embeddings made elsewhere, brought into a study."""
