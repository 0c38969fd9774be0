"""How fast Scrip is, measured beside the machine's limit and an honest rival in one run."""
