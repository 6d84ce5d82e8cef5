"""Springfield: a reproducible pipeline from cartoon frames to a character classifier."""

import os

__version__ = "0.1.0"

# Nothing here calls home; libraries read these when they are imported.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
