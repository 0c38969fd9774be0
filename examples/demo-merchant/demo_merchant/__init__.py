"""A small merchant with an interface for Scrip, built from `docs/merchant-interface.openapi.yaml` alone."""
