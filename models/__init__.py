"""The learned side of Pickture: photos in, answers out. Knows neither HTTP nor the database."""
