"""The catalog that is measured on the images, and what each of its sources truly is."""
