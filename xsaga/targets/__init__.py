"""Ranking scored sources and writing target lists."""
