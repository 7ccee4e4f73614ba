"""Source catalogs: reading, photometry, photometric cuts, splitting by tile."""
