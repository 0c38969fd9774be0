"""How a merchant comes in, is matched to its API, and is shut out: requests, states, terminals, keys, profiles."""
