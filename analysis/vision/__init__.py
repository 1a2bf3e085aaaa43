"""Vision: is somebody in the picture, and how many. No identity, no template, no expression."""
