"""The pages for people: the shopper's page. Server-rendered, with small ES modules that talk to ``/v1``."""
