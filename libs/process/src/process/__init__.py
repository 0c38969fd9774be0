"""How a process of Scrip lives: settings, logs, health, start and stop, connection pool, sealed secrets."""
