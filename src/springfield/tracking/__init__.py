"""The journal in MLflow."""
