"""The catalogue folder: reading and checking it, importing it, and converting public data sets into it."""
