"""What the adapter does: handlers of commands and events file work; jobs do it."""
