"""Care for the data: what is wrong with a catalogue's photos, what to do about it, and learning in spite of it."""
