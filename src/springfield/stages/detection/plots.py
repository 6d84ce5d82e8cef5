"""Pictures of an evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from springfield.images.drawing.boxes import FOUND, LABELLED
from springfield.images.drawing.plots import precision_recall_plot, show, write_csv
from springfield.stages.detection.scores import Answers
