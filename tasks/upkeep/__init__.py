"""What `maintain` keeps in order."""
