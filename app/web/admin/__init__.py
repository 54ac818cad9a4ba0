"""The administrator's dashboard under ``/admin``: pages made on the server, behind a login with an admin key."""
