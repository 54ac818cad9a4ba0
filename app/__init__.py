"""The service: everything that knows HTTP, the database or a process."""
