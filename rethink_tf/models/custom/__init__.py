"""Models of a user's own: named, built, checked and scaled."""
