"""What is in a simulated sky: galaxies, stars and quasars, as a table of the truth."""
