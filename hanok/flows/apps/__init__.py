"""The jobs of a phone without the cloud: photo, voice, translation and writing, from the shipped networks."""
