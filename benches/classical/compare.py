"""Speed of the filters beside scikit-image, SciPy, PyWavelets and OpenCV from Python: one thread, 256 x 256 pixels.

    cargo build --release -p blemish-kernels --example image_times
    export OMP_NUM_THREADS=1 MALLOC_TRIM_THRESHOLD_=1000000000 MALLOC_MMAP_THRESHOLD_=1000000000 MALLOC_TOP_PAD_=100000000
    python benches/classical/compare.py target/release/examples/image_times

The MALLOC settings keep memory with both processes between images, as in a program that runs on; else asking the system for every plane
is most of what is measured. Both sides run by turns, three rounds of many repetitions; the best time counts, since others use the machine. Prints a Markdown table.
Needs numpy, scipy, scikit-image, PyWavelets, opencv-python-headless.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from blemish import Rows, run

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("image_times", help="the example `image_times`, built")
args = parser.parse_args()  # Before the libraries are loaded, which take seconds and may be missing.

import cv2
import numpy as np
import pywt
from scipy import ndimage
from scipy.signal import fftconvolve
from skimage import feature, filters, morphology, registration

cv2.setNumThreads(1)
index = np.arange(256 * 256, dtype=np.int64)
image = (((index * 7919 + index * index % 613) % 251) / 255.0).reshape(256, 256).astype(np.float32)
bytes_ = (image * 255).round().astype(np.uint8)
soft = ndimage.gaussian_filter(image, 3)
moved = ndimage.gaussian_filter(np.roll(image, (-3, -2), (0, 1)), 3)
levels = (image * 16).clip(0, 15).astype(np.uint8)
kernels = [filters.gabor_kernel(1 / 8, np.pi * k / 8, sigma_x=4.48, sigma_y=4.48) for k in range(8)]
disc = morphology.disk(5)


def window_histograms():
    """What our kernel gives: 32 x 32 windows of 24 pixels, 64 bins, by NumPy's block sums."""
    labels = (image * 64).astype(np.int64).clip(0, 63).reshape(32, 8, 32, 8).transpose(0, 2, 1, 3).reshape(1024, 64)
    counts = np.bincount((np.arange(1024)[:, None] * 64 + labels).ravel(), minlength=1024 * 64).reshape(32, 32, 64)
    return ndimage.uniform_filter(counts.astype(np.float32), (3, 3, 1), mode="constant") * 9


def window_glcm():
    """scikit-image's own way: one matrix set a window, here every eighth row and column of windows, scaled up below."""
    for row in range(0, 232, 64):
        for column in range(0, 232, 64):
            window = levels[row : row + 24, column : column + 24]
            angles = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]
            matrices = feature.graycomatrix(window, [1], angles, levels=16, symmetric=True, normed=True)
            for name in ("contrast", "dissimilarity", "homogeneity", "ASM", "entropy", "correlation"):
                feature.graycoprops(matrices, name)


def spectral_residual():
    spectrum = np.fft.rfft2(image)
    logarithm = np.log(np.abs(spectrum) + 1e-8)
    residual = logarithm - ndimage.uniform_filter(logarithm, 3, mode="wrap")
    return np.abs(np.fft.irfft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2


def phase_only():
    spectrum = np.fft.rfft2(image)
    return np.fft.irfft2(spectrum / (np.abs(spectrum) + 1e-12))


def affine():
    shift = registration.phase_cross_correlation(soft, moved, upsample_factor=10)[0]
    start = np.array([[1, 0, -shift[1]], [0, 1, -shift[0]]], dtype=np.float32)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-6)
    return cv2.findTransformECC(soft, moved, start, cv2.MOTION_AFFINE, stop, None, 5)


# Name: (what is timed, repetitions, factor to the same amount of work).
SCIPY = {
    "histogram": ("NumPy bincount", window_histograms, 30, 1),
    "sobel": ("scikit-image sobel", lambda: filters.sobel(image), 30, 1),
    "laplacian": ("scikit-image laplace", lambda: filters.laplace(image), 30, 1),
    "laplacian_of_gaussian": ("SciPy gaussian_laplace", lambda: ndimage.gaussian_laplace(image, 2.0), 20, 1),
    "canny": ("scikit-image canny", lambda: feature.canny(image, 1.4), 5, 1),
    "gabor": ("SciPy fftconvolve", lambda: [np.abs(fftconvolve(image, k, "same")) for k in kernels], 3, 1),
    "wavelet": ("PyWavelets swt2", lambda: pywt.swt2(image, "haar", 3), 5, 1),
    "opening": ("scikit-image opening", lambda: morphology.opening(bytes_, disc), 3, 1),
    "lbp": ("scikit-image", lambda: feature.local_binary_pattern(bytes_, 24, 3, "uniform"), 3, 1),
    "glcm": ("scikit-image, 16 of 1024 windows", window_glcm, 1, 64),
    "spectral_residual": ("NumPy", spectral_residual, 10, 1),
    "phase_only": ("NumPy", phase_only, 10, 1),
    "registration": ("scikit-image and OpenCV ECC", affine, 2, 1),
}
OPENCV = {
    "sobel": lambda: cv2.magnitude(cv2.Sobel(image, cv2.CV_32F, 1, 0), cv2.Sobel(image, cv2.CV_32F, 0, 1)),
    "laplacian": lambda: cv2.Laplacian(image, cv2.CV_32F),
    "laplacian_of_gaussian": lambda: cv2.Laplacian(cv2.GaussianBlur(image, (17, 17), 2.0), cv2.CV_32F),
    "canny": lambda: cv2.Canny(cv2.GaussianBlur(bytes_, (13, 13), 1.4), 60, 150),
    "gabor": lambda: [
        cv2.magnitude(
            cv2.filter2D(image, cv2.CV_32F, np.ascontiguousarray(k.real, np.float32)),
            cv2.filter2D(image, cv2.CV_32F, np.ascontiguousarray(k.imag, np.float32)),
        )
        for k in kernels
    ],
    "opening": lambda: cv2.morphologyEx(image, cv2.MORPH_OPEN, disc),
}


def best(work, repeats):
    work()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return 1e3 * min(times)


def main():
    ours, scipy, opencv = {}, {}, {}
    for _ in range(3):
        for name, value in run(args.image_times).json().items():
            ours[name] = min(value, ours.get(name, np.inf))
        for name, (_, work, repeats, factor) in SCIPY.items():
            scipy[name] = min(factor * best(work, repeats), scipy.get(name, np.inf))
        for name, work in OPENCV.items():
            opencv[name] = min(best(work, 20), opencv.get(name, np.inf))
    rows = Rows("classical-peers")
    print("| filter | ours, ms | Python, ms | times | OpenCV, ms | times | Python is |")
    print("|---|---:|---:|---:|---:|---:|---|")
    for name, own in ours.items():
        other, library = opencv.get(name), SCIPY[name][0]
        cells = f"{other:.3f} | {other / own:.1f}" if other else "- | -"
        print(f"| {name} | {own:.3f} | {scipy[name]:.3f} | {scipy[name] / own:.1f} | {cells} | {library} |")
        figure = {"set": "one image of 256x256", "method": name}
        rows.add(**figure, metric="time, ms", value=f"{own:.3f}")
        for peer, value, note in (("Python", scipy[name], library), ("OpenCV", other, "")):
            if value:
                rows.add(**figure, metric="time, ms", value=f"{value:.3f}", peer=peer, note=note)
                rows.add(**figure, metric="time, ms", value=f"{value / own:.1f}", peer=f"{peer} / Blemish")


main()
