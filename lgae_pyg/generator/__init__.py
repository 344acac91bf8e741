"""What the generator of jets can be asked for: presets, classes, settings. Nothing here takes long to import."""
