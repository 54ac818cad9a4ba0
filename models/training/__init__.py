"""Everything that learns: splits, cross-fitting, fitting, measuring, reporting. Never imported when serving."""
