"""What a telescope makes of an image: noise, saturation, artefacts, masks."""
