"""Which of several classes a picture shows."""
