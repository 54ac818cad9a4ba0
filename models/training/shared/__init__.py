"""The shared space of words and photos: contrastive training on the shop's own names and bottlenecks."""
