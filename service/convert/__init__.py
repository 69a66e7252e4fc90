"""Between messages and domain values, a module for each service of the API."""
