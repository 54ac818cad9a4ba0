"""Training what reads names and pictures together: rows, the network, its calibration, comparisons, care."""
