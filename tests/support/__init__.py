"""What tests of more than one part use: real servers, fresh databases, topics."""
