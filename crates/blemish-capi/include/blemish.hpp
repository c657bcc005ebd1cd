/* libblemish for C++17: handles that free themselves, exceptions, and images of OpenCV.
 *
 *     blemish::Detector detector("part.blemish");
 *     blemish::Result result = detector.score(picture);   // a cv::Mat, if OpenCV was included before
 *     if (result.anomalous() == true) stop_the_line();
 *
 * Header only; link with libblemish. */

#ifndef BLEMISH_HPP
#define BLEMISH_HPP

#include "blemish.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#if defined(__has_include) && __cplusplus >= 202002L
#if __has_include(<span>)
#include <span>
#endif
#endif

namespace blemish {

/* What went wrong: what() says it with how to mend it, code() is stable for programs. */
class Error : public std::runtime_error {
  public:
    Error(blemish_status status, std::string code, const std::string &message)
        : std::runtime_error(message), status_(status), code_(std::move(code)) {}
    blemish_status status() const noexcept { return status_; }
    const std::string &code() const noexcept { return code_; }

  private:
    blemish_status status_;
    std::string code_;
};

namespace detail {

/* Throws if a call has failed; frees its error. */
inline void check(blemish_status status, blemish_error *error) {
    std::unique_ptr<blemish_error, decltype(&blemish_error_free)> held(error, blemish_error_free);
    if (status == BLEMISH_OK) return;
    std::string message = blemish_error_message(error), help = blemish_error_help(error);
    throw Error(status, blemish_error_code(error), help.empty() ? message : message + "; " + help);
}

template <typename T> T sized() {
    T value{};
    value.struct_size = static_cast<std::uint32_t>(sizeof(T));
    return value;
}

struct FreeDetector {
    void operator()(blemish_detector *detector) const noexcept { blemish_detector_free(detector); }
};

struct FreeResult {
    void operator()(blemish_result *result) const noexcept { blemish_result_free(result); }
};

} // namespace detail

/* Pixels of yours, which are read during a call only. */
inline blemish_image image(blemish_format format, std::uint32_t width, std::uint32_t height, const void *pixels,
                           std::size_t stride = 0) {
    auto image = detail::sized<blemish_image>();
    image.format = format;
    image.width = width;
    image.height = height;
    image.stride = stride;
    image.planes[0] = pixels;
    return image;
}

/* One pointer for each of red, green and blue, as HALCON has them. */
inline blemish_image planar(std::uint32_t width, std::uint32_t height, const void *red, const void *green, const void *blue,
                            std::size_t stride = 0, blemish_format format = BLEMISH_PLANAR_RGB8) {
    blemish_image planes = image(format, width, height, red, stride);
    planes.planes[1] = green;
    planes.planes[2] = blue;
    return planes;
}

#ifdef OPENCV_CORE_HPP
/* An image of OpenCV: 8, 16 or 32 bit (float in [0, 1]) of grey; 8 bit of BGR and BGRA. Regions of larger images are fine. */
inline blemish_image image(const cv::Mat &mat) {
    blemish_format format;
    switch (mat.type()) {
    case CV_8UC1: format = BLEMISH_GREY8; break;
    case CV_16UC1: format = BLEMISH_GREY16; break;
    case CV_32FC1: format = BLEMISH_GREY32F; break;
    case CV_8UC3: format = BLEMISH_BGR8; break;
    case CV_8UC4: format = BLEMISH_BGRA8; break;
    default: throw Error(BLEMISH_USAGE, "usage", "this type of cv::Mat is not read; convert it to CV_8UC3");
    }
    if (mat.dims != 2) throw Error(BLEMISH_USAGE, "usage", "the cv::Mat has not two dimensions; give one image");
    return image(format, static_cast<std::uint32_t>(mat.cols), static_cast<std::uint32_t>(mat.rows), mat.data, mat.step);
}
#endif

/* The anomaly map: height x width values, row by row. It lives as long as its result. */
struct Map {
    const float *values;
    std::uint32_t height, width;
    std::size_t size() const noexcept { return static_cast<std::size_t>(height) * width; }
#ifdef __cpp_lib_span
    std::span<const float> span() const noexcept { return {values, size()}; }
#endif
#ifdef OPENCV_CORE_HPP
    /* A copy as an image of CV_32FC1. */
    cv::Mat mat() const {
        return cv::Mat(static_cast<int>(height), static_cast<int>(width), CV_32FC1, const_cast<float *>(values)).clone();
    }
#endif
};

/* What a detector says of an image. */
class Result {
  public:
    explicit Result(blemish_result *result) noexcept : result_(result) {}
    float score() const noexcept { return blemish_result_score(result_.get()); }
    std::optional<double> p_value() const noexcept {
        double value = 0;
        return blemish_result_p_value(result_.get(), &value) ? std::optional<double>(value) : std::nullopt;
    }
    std::optional<float> threshold() const noexcept {
        float value = 0;
        return blemish_result_threshold(result_.get(), &value) ? std::optional<float>(value) : std::nullopt;
    }
    /* Empty without a threshold. */
    std::optional<bool> anomalous() const noexcept {
        std::int32_t value = blemish_result_anomalous(result_.get());
        return value < 0 ? std::nullopt : std::optional<bool>(value != 0);
    }
    /* Empty if it was not wanted. */
    std::optional<Map> map() const noexcept {
        Map map{};
        map.values = blemish_result_map(result_.get(), &map.height, &map.width);
        return map.values ? std::optional<Map>(map) : std::nullopt;
    }
    std::vector<blemish_region> regions() const {
        std::vector<blemish_region> all(blemish_result_region_count(result_.get()));
        for (std::size_t at = 0; at < all.size(); at++) {
            all[at] = detail::sized<blemish_region>();
            detail::check(blemish_result_region(result_.get(), at, &all[at]), nullptr);
        }
        return all;
    }
    std::string json() const { return blemish_result_json(result_.get()); }
    const blemish_result *get() const noexcept { return result_.get(); }

  private:
    std::unique_ptr<blemish_result, detail::FreeResult> result_;
};

/* All zero is the default; see blemish_score_options. */
inline blemish_score_options scoring(bool want_map = false, double min_area = 0,
                                     const volatile std::int32_t *cancel = nullptr) {
    auto options = detail::sized<blemish_score_options>();
    options.want_map = want_map;
    options.min_area = min_area;
    options.cancel = cancel;
    return options;
}

/* A fitted detector, for any number of threads at once. */
class Detector {
  public:
    explicit Detector(const std::string &path, std::uint32_t threads = 0) : detector_(nullptr) {
        blemish_load_options options = running(threads);
        adopt([&](blemish_detector **out, blemish_error **error) { return blemish_load(path.c_str(), &options, out, error); });
    }
    Detector(const void *data, std::size_t length, std::uint32_t threads = 0) : detector_(nullptr) {
        blemish_load_options options = running(threads);
        adopt([&](blemish_detector **out, blemish_error **error) {
            return blemish_load_bytes(data, length, &options, out, error);
        });
    }
    /* Takes over a handle, as blemish_fit gives one. */
    explicit Detector(blemish_detector *detector) noexcept : detector_(detector) {}

    Result score(const blemish_image &image, const blemish_score_options &options = scoring()) const {
        return made([&](blemish_result **out, blemish_error **error) {
            return blemish_score(get(), &image, &options, out, error);
        });
    }
#ifdef OPENCV_CORE_HPP
    Result score(const cv::Mat &mat, const blemish_score_options &options = scoring()) const {
        return score(image(mat), options);
    }
#endif
    Result score_encoded(const void *data, std::size_t length, const blemish_score_options &options = scoring()) const {
        return made([&](blemish_result **out, blemish_error **error) {
            return blemish_score_encoded(get(), data, length, &options, out, error);
        });
    }
    Result score_file(const std::string &path, const blemish_score_options &options = scoring()) const {
        return made([&](blemish_result **out, blemish_error **error) {
            return blemish_score_file(get(), path.c_str(), &options, out, error);
        });
    }
    /* Throws unless the model scores here as where it was fitted; gives the largest difference. */
    double verify() const {
        double difference = 0;
        blemish_error *error = nullptr;
        blemish_status status = blemish_verify(get(), &difference, &error);
        detail::check(status, error);
        return difference;
    }
    void save(const std::string &path) const {
        blemish_error *error = nullptr;
        blemish_status status = blemish_save(get(), path.c_str(), &error);
        detail::check(status, error);
    }
    const blemish_detector *get() const noexcept { return detector_.get(); }

  private:
    static blemish_load_options running(std::uint32_t threads) {
        auto options = detail::sized<blemish_load_options>();
        options.threads = threads;
        return options;
    }
    template <typename Call> void adopt(Call call) {
        blemish_detector *detector = nullptr;
        blemish_error *error = nullptr;
        blemish_status status = call(&detector, &error);
        detail::check(status, error);
        detector_.reset(detector);
    }
    template <typename Call> Result made(Call call) const {
        blemish_result *result = nullptr;
        blemish_error *error = nullptr;
        blemish_status status = call(&result, &error);
        detail::check(status, error);
        return Result(result);
    }

    std::unique_ptr<blemish_detector, detail::FreeDetector> detector_;
};

} // namespace blemish

#endif
