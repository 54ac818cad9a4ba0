"""Fitting each part of a bundle: FCN, SVM, vote, verdict."""
