"""Making backbone weights from random values: corpus, block-by-block matching of a teacher, joint training."""
