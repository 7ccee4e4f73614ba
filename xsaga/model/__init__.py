"""The network and its scores: arrays in, arrays out."""
