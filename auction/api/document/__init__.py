"""What the doors say of themselves: OpenAPI 3.1, and a page to read it on."""
