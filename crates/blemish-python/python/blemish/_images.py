"""What may be given as an image, and as several."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from . import _native
from ._errors import InputError, SettingError


@runtime_checkable
class _ArrayLike(Protocol):
    def __array__(self) -> NDArray[Any]: ...


ImageLike: TypeAlias = str | os.PathLike[str] | bytes | NDArray[Any] | _ArrayLike | Any
"""A path, the bytes of an encoded file, an array (height, width) or (height, width, 1, 3 or 4) of uint8, uint16, bool or floats in [0, 1], a
picture of Pillow, or anything with `__array_interface__`, `__array__` or DLPack on the CPU. Channels are red, green, blue."""

Images: TypeAlias = ImageLike | Iterable[ImageLike]
"""One image; or several: a folder, a pattern of paths, a list, tuple or iterator, an array of four dimensions."""

_CPU = (1, 3)  # DLPack's numbers of memory that the CPU can read: its own, and pinned for CUDA.


class Gathered:
    """Images for the compiled half, and what Python knows of them."""

    def __init__(self, images: _native.Images, is_single: bool, files: list[bool] | None) -> None:
        self.images = images
        self.is_single = is_single
        self._files = files

    def is_file(self, index: int) -> bool:
        """Whether an image is a file."""
        return self._files is None or self._files[index]


def gather(
    images: Images,
    *,
    channels: str = "rgb",
    skip_bad: bool = False,
    frames: bool = False,
    groups: Sequence[Hashable] | None = None,
    labels: Sequence[bool] | None = None,
) -> Gathered:
    """Images of any kind in their order, pixels copied."""
    bgr = _is_bgr(channels)
    if isinstance(images, (str, os.PathLike)):
        path = os.fspath(images)
        if _is_several(path):
            if groups is not None or labels is not None:
                raise InputError("groups and labels need a list of images", help="list the files, one entry for each")
            return Gathered(_native.Images.found([path], frames, skip_bad), False, None)
        listed: list[Any] = [images]
        is_single = True
    elif _is_one(images):
        listed, is_single = [images], True
    elif isinstance(images, Iterable):
        listed, is_single = list(images), False
    else:
        raise InputError(f"{_kind(images)} is no image", help="give a path, bytes, an array, a picture, or a list of these")
    group_names = _names(groups, len(listed))
    if labels is not None and len(labels) != len(listed):
        raise InputError(f"there are {len(listed)} images and {len(labels)} labels", help="give one label an image: True for defective")
    native = _native.Images()
    files = []
    for number, image in enumerate(listed):
        group = None if group_names is None else group_names[number]
        defective = None if labels is None else bool(labels[number])
        files.append(_add(native, image, bgr, group, defective, skip_bad))
    return Gathered(native, is_single, files)


def _add(native: _native.Images, image: Any, bgr: bool, group: str | None, defective: bool | None, skip_bad: bool) -> bool:
    """Adds one image; tells whether it is a file."""
    if isinstance(image, (str, os.PathLike)):
        native.add_file(os.fspath(image), group, defective)
        return True
    if isinstance(image, (bytes, bytearray, memoryview)):
        native.add_bytes(bytes(image), group, defective)
        return False
    try:
        native.add_array(as_array(image), bgr, group, defective, skip_bad)
    except InputError as error:
        if not skip_bad:
            raise
        native.add_broken(str(error), group, defective)
    return False


def as_pixels(image: ImageLike, channels: str = "rgb") -> tuple[NDArray[Any], bool]:
    """The pixels of one image as an array, and whether blue comes first in it."""
    if isinstance(image, (str, os.PathLike)):
        return _native.pixels(path=os.fspath(image)), False
    if isinstance(image, (bytes, bytearray, memoryview)):
        return _native.pixels(data=bytes(image)), False
    return as_array(image), _is_bgr(channels)


def as_array(image: Any) -> NDArray[Any]:
    """An array of anything that shows its values as one: aligned, in the machine's byte order, copied only where it must be."""
    if isinstance(image, np.ndarray):
        array = image
    elif hasattr(image, "getexif") and hasattr(image, "mode"):
        array = _of_picture(image)
    elif hasattr(image, "__dlpack_device__"):
        device = image.__dlpack_device__()[0]
        if int(device) not in _CPU:
            raise InputError("the tensor lies on another device than the CPU", help="move it there first, as with .cpu()")
        try:
            array = np.from_dlpack(image)
        except (BufferError, RuntimeError, TypeError) as error:
            raise InputError(f"the tensor cannot be read ({error})", help="detach it and move it to the CPU") from error
    elif hasattr(image, "__array_interface__") or hasattr(image, "__array__"):
        array = np.asarray(image)
    else:
        raise InputError(f"{_kind(image)} is no image", help="give a path, bytes, an array or a picture")
    if array.dtype.kind not in "biuf":
        raise InputError(f"the array is of type {array.dtype}", help="give uint8, uint16, bool, or float32 or float64 within [0, 1]")
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return array if array.flags.aligned else array.copy()


def _of_picture(picture: Any) -> NDArray[Any]:
    """The pixels of a picture of Pillow as a file of it would be read: turned upright, palettes looked up."""
    if picture.getexif().get(0x0112, 1) != 1:
        from PIL import ImageOps

        picture = ImageOps.exif_transpose(picture)
    mode = picture.mode
    if mode in ("1", "L", "RGB", "RGBA", "F"):
        return np.asarray(picture)
    if mode == "LA":
        return np.asarray(picture)[:, :, 0]
    if mode == "I" or mode.startswith("I;16"):
        values = np.asarray(picture)
        if values.size and (values.min() < 0 or values.max() > 65_535):
            raise InputError("the picture's values do not fit 16 bits", help="give an array of floats within [0, 1]")
        return values.astype(np.uint16)
    return np.asarray(picture.convert("RGB"))


def _is_one(images: Any) -> bool:
    """Whether something that is no path is one image."""
    if isinstance(images, (bytes, bytearray, memoryview)):
        return True
    if isinstance(images, (list, tuple, set, frozenset, dict)):
        return False
    dimensions = getattr(images, "ndim", None)
    if dimensions is not None:
        if dimensions == 4:
            return False
        # A column of paths or pictures, as pandas and NumPy keep them.
        return not (dimensions == 1 and getattr(getattr(images, "dtype", None), "kind", "") in "OUS")
    return any(hasattr(images, name) for name in ("__array_interface__", "__dlpack__", "__array__"))


def _is_several(path: str) -> bool:
    """Whether a path names several images: a folder, or a pattern that is no file."""
    return os.path.isdir(path) or (not os.path.exists(path) and any(sign in path for sign in "*?["))


def _is_bgr(channels: str) -> bool:
    if channels not in ("rgb", "bgr"):
        raise SettingError(f"channels={channels!r} is no order of channels", help='allowed: "rgb", or "bgr" for arrays from OpenCV')
    return channels == "bgr"


def _names(groups: Sequence[Hashable] | None, count: int) -> list[str] | None:
    """Groups as names: equal ones have one."""
    if groups is None:
        return None
    if len(groups) != count:
        raise InputError(f"there are {count} images and {len(groups)} groups", help="give one group an image")
    known: dict[Hashable, str] = {}
    return [known.setdefault(group, f"group {len(known)}") for group in groups]


def _kind(thing: Any) -> str:
    return f"a value of type {type(thing).__name__}"


def as_path(path: str | os.PathLike[str]) -> str:
    """A path as text, with the folder of the user for a tilde."""
    return str(Path(os.fspath(path)).expanduser())
