"""The run folder, the job of one tile, and running many."""
