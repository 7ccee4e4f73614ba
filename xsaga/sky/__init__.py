"""Footprints on the sky and the HEALPix tiles that cover them."""
