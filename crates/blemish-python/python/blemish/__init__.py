"""Blemish finds what does not belong in an image after seeing only good ones.

>>> import blemish
>>> [method.name for method in blemish.methods()][0]
'patchcore'

A folder of good images in, a result for every new one out::

    from blemish import Detector
    detector = Detector("patchcore").fit("parts/good")
    result = detector.predict("new.png")   # result.score, result.p_value, result.anomalous, result.map, result.regions

`blemish.sklearn` and `blemish.pyod` have the conventions of those packages, whose signs differ; `blemish.ray` works on several machines.
"""

from ._detector import Detector
from ._errors import (
    BlemishError,
    BlemishWarning,
    FitError,
    InputError,
    InternalError,
    ModelFileError,
    NotCalibratedError,
    NotFittedError,
    SettingError,
)
from ._images import ImageLike, Images
from ._methods import MethodInfo, Setting, methods
from ._native import __version__
from ._progress import Progress
from ._result import Box, Calibration, Metrics, Peak, Point, Region, Result, Verification, VerifiedImage

__all__ = [
    "BlemishError",
    "BlemishWarning",
    "Box",
    "Calibration",
    "Detector",
    "FitError",
    "ImageLike",
    "Images",
    "InputError",
    "InternalError",
    "MethodInfo",
    "Metrics",
    "ModelFileError",
    "NotCalibratedError",
    "NotFittedError",
    "Peak",
    "Point",
    "Progress",
    "Region",
    "Result",
    "Setting",
    "SettingError",
    "Verification",
    "VerifiedImage",
    "__version__",
    "methods",
]
