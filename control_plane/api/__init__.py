"""The REST API: a file a resource, each route declared once as a value."""
