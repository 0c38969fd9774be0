"""Who speaks: one front door for every external request."""
