// score MODEL IMAGE...: the C++ header, with OpenCV where it is there.
//
//     c++ -std=c++17 -DWITH_OPENCV score.cpp $(pkg-config --cflags --libs blemish opencv4) -o score
//     c++ -std=c++17 score.cpp $(pkg-config --cflags --libs blemish) -o score
#ifdef WITH_OPENCV
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#endif
#include <blemish.hpp>
#include <cstdio>
#include <exception>

int main(int count, char **arguments) {
    if (count < 3) {
        std::fprintf(stderr, "usage: score MODEL IMAGE...\n");
        return 2;
    }
    try {
        blemish::Detector detector(arguments[1]);
        for (int at = 2; at < count; at++) {
            blemish_score_options wanted = blemish::scoring(true);
#ifdef WITH_OPENCV
            blemish::Result result = detector.score(cv::imread(arguments[at], cv::IMREAD_UNCHANGED), wanted);
#else
            blemish::Result result = detector.score_file(arguments[at], wanted);
#endif
            std::printf("%s: score %.9g", arguments[at], static_cast<double>(result.score()));
            if (auto p_value = result.p_value()) std::printf(", p %.3f", *p_value);
            std::printf(", %s", !result.anomalous() ? "no threshold" : *result.anomalous() ? "ANOMALOUS" : "good");
            if (auto map = result.map()) std::printf(", map %ux%u", map->width, map->height);
            std::printf(", %zu regions\n", result.regions().size());
        }
    } catch (const blemish::Error &error) {
        std::fprintf(stderr, "error %d (%s): %s\n", static_cast<int>(error.status()), error.code().c_str(), error.what());
        return 1;
    } catch (const std::exception &error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 1;
    }
    return 0;
}
