"""Pages and pictures made from finished files."""
