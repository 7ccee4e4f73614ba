"""Image cutouts: where they come from and how a tile keeps them."""
