"""What cannot change a result; stages may import it without depending on it."""
