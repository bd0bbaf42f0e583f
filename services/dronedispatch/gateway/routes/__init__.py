"""The public API, one file a resource; app.py holds the table of paths."""
