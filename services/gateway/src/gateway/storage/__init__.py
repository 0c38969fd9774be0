"""All SQL of the gateway, a module per table or two."""
