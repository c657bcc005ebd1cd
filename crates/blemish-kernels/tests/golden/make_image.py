"""Golden values of image filters by independent implementations: writes image.safetensors beside this file.

Made with numpy 2, SciPy 1.17.1, scikit-image 0.26.0, PyWavelets 1.8.0, OpenCV 5.0.0 and safetensors on Python 3.
Everything is computed in double precision on float images and stored in single precision.
"""

from pathlib import Path

import cv2
import numpy as np
import pywt
from safetensors.numpy import save_file
from scipy import ndimage, signal
from skimage import feature, filters, morphology

rng = np.random.default_rng(7)
HEIGHT, WIDTH = 40, 48
y, x = np.mgrid[:HEIGHT, :WIDTH]
# Waves, a step, a spot and noise, in whole grey levels.
grey = 120 + 40 * np.sin(x / 3.1) + 30 * np.cos(y / 2.3 + x / 9) + 25 * (x > 30) + 12 * rng.standard_normal((HEIGHT, WIDTH))
grey[10:13, 12:16] += 60
levels = np.clip(np.round(grey), 0, 255)
# Multiples of 1/256 are exact in both precisions.
image = levels / 256
tensors = {"image": image}


def gaussian_taps(sigma, cut=4.0):
    radius = int(cut * sigma + 0.5)
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return taps / taps.sum()


# Convolutions and edges; mode "mirror" is d c b | a b c d.
tensors["blur"] = ndimage.gaussian_filter(image, 1.7, mode="mirror", truncate=4.0)
tensors["sobel"] = np.hypot(ndimage.sobel(image, 0, mode="mirror"), ndimage.sobel(image, 1, mode="mirror"))
tensors["laplacian"] = ndimage.laplace(image, mode="mirror")
tensors["log"] = 4.0 * ndimage.laplace(ndimage.gaussian_filter(image, 2.0, mode="mirror"), mode="mirror")
gx = cv2.Sobel(levels, cv2.CV_16S, 1, 0, borderType=cv2.BORDER_REFLECT_101)
gy = cv2.Sobel(levels, cv2.CV_16S, 0, 1, borderType=cv2.BORDER_REFLECT_101)
tensors["canny"] = cv2.Canny(gx, gy, 60, 150, L2gradient=True) / 255.0

# Gabor: scikit-image's kernel (round Gaussian), less its mean under the Gaussian, as a full two-dimensional convolution.
for wavelength, count in ((4.0, 6), (8.0, 4)):
    sigma = 0.56 * wavelength
    radius = int(np.ceil(3 * sigma))
    v, u = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    gauss = np.exp(-(u**2 + v**2) / (2 * sigma**2))
    gauss /= gauss.sum()
    for index in range(count):
        theta = np.pi * index / count
        kernel = filters.gabor_kernel(1 / wavelength, theta, sigma_x=sigma, sigma_y=sigma, n_stds=8)
        middle = kernel.shape[0] // 2, kernel.shape[1] // 2
        kernel = kernel[middle[0] - radius : middle[0] + radius + 1, middle[1] - radius : middle[1] + radius + 1]
        kernel = kernel / np.exp(-(u**2 + v**2) / (2 * sigma**2)).sum() * (2 * np.pi * sigma**2)
        kernel = kernel - kernel.real.sum() * gauss
        padded = np.pad(image, radius, mode="reflect")
        response = signal.convolve2d(padded, kernel, mode="valid")
        tensors[f"gabor.{int(wavelength)}.{index}"] = np.abs(response)

# Morphology: pixels beyond the border do not count.
def erode(plane, footprint):
    return ndimage.grey_erosion(plane, footprint=footprint, mode="constant", cval=np.inf)


def dilate(plane, footprint):
    return ndimage.grey_dilation(plane, footprint=footprint, mode="constant", cval=-np.inf)


disc, square = morphology.disk(3), np.ones((3, 5))
line = np.eye(5)[::-1]
tensors["erode.disc3"] = erode(image, disc)
tensors["open.disc3"] = dilate(erode(image, disc), disc)
tensors["close.rect"] = erode(dilate(image, square), square)
tensors["dilate.line45"] = dilate(image, line)

# Local binary patterns, riu2; the border is left out of the comparison.
for points, radius in ((8, 1), (16, 2), (24, 3)):
    tensors[f"lbp.{points}"] = feature.local_binary_pattern(levels.astype(np.uint8), points, radius, "uniform")

# Co-occurrence on 8 levels at four directions, distance 2.
labels = (levels // 32).astype(np.uint8)
matrices = feature.graycomatrix(labels, [2], [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4], levels=8, symmetric=True, normed=True)
names = ["contrast", "dissimilarity", "homogeneity", "ASM", "entropy", "correlation"]
tensors["glcm"] = np.stack([feature.graycoprops(matrices, name)[0] for name in names], axis=1)

# Undecimated wavelets: PyWavelets wraps around, so the border is left out. Its first detail varies down the columns.
for name in ("haar", "db2"):
    for level, (approximation, details) in enumerate(reversed(pywt.swt2(image, name, level=3, trim_approx=False)), 1):
        for band, values in zip(("h", "v", "d"), details):
            tensors[f"{name}.{level}.{band}"] = values
        tensors[f"{name}.{level}.a"] = approximation

# Fourier methods as they stand in the papers.
spectrum = np.fft.fft2(image)
logarithm = np.log(np.abs(spectrum) + 1e-8)
residual = logarithm - ndimage.uniform_filter(logarithm, 3, mode="wrap")
tensors["spectral"] = np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
tensors["phase"] = np.fft.ifft2(spectrum / (np.abs(spectrum) + 1e-12)).real

# Histogram distances (SciPy's Wasserstein distance is the earth mover's).
from scipy import stats
from scipy.spatial import distance

a, b = rng.random(20), rng.random(20)
a, b = a / a.sum(), b / b.sum()
tensors["histograms"] = np.stack([a, b])
bins = np.arange(20)
tensors["distances"] = np.array(
    [
        0.5 * ((a - b) ** 2 / (a + b)).sum(),
        2 * stats.entropy(a, b),
        stats.wasserstein_distance(bins, bins, a, b),
        np.sqrt(1 - np.sqrt(a * b).sum()),
    ]
)

# Registration: a smooth picture seen through a known affine map (cubic splines).
side = 96
field = ndimage.gaussian_filter(rng.standard_normal((side + 40, side + 40)), 3)
field = (field - field.min()) / (field.max() - field.min())
terms = np.array([[1.02, 0.03, 21.7], [-0.025, 0.99, 18.2]])
tensors["reference"] = field[20 : 20 + side, 20 : 20 + side]
# image(W(p)) = reference(p), W(p) = A p + t with p about the reference's origin
A, t = terms[:, :2], terms[:, 2] - 20
inverse = np.linalg.inv(A)
grid = np.mgrid[:side, :side].reshape(2, -1).astype(float)
source = inverse @ (grid - t[:, None]) + 20
tensors["moved"] = 0.8 * ndimage.map_coordinates(field, source, order=5).reshape(side, side) + 0.05
tensors["affine"] = np.concatenate([np.append(A[0], t[0]), np.append(A[1], t[1])])

tensors = {name: np.ascontiguousarray(values, dtype=np.float32) for name, values in tensors.items()}
save_file(tensors, Path(__file__).with_name("image.safetensors"))
