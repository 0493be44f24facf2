"""Release content by digest."""
