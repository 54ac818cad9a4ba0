"""The shop's state: tables, queries, images, bundles and the embedded PostgreSQL."""
