"""Galaxies and stars drawn as images, without noise."""
