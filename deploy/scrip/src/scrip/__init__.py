"""The command line and the local platform: PostgreSQL, Kafka and the four services on one machine."""
