"""Target lists in the formats that surveys and catalog tools read: one module per format."""
