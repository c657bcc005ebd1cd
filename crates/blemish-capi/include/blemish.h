/* libblemish: finds what does not belong in an image after seeing only good ones.
 *
 * - Functions that can fail return a blemish_status, 0 for success (see blemish_code). Results come by pointers, written only on success.
 * - Errors come by the last parameter, which may be NULL. *error becomes NULL on success, else an error to free by blemish_error_free.
 * - What the library gives it frees: by the _free of its type, for which NULL is fine. What you give is read during the call only.
 * - A detector may be used from any number of threads at once. Freeing one that is in use is your fault.
 * - Structs begin with struct_size: fill a struct with zeros, then set it to sizeof of the struct.
 * - Texts are UTF-8 and end in a zero byte; paths, too, on every system.
 * - Nothing is printed, no signal is caught, the locale is left alone. Threads belong to a detector and end with it; without detectors
 *   and results the library may be unloaded.
 *
 * Made by cbindgen of crates/blemish-capi. */


#ifndef BLEMISH_H
#define BLEMISH_H

#include <stddef.h>
#include <stdint.h>

/**
 * The number of this interface. A library with another number cannot be used with this header.
 */
#define BLEMISH_ABI_VERSION 0

/**
 * What a blemish_status means.
 */
typedef enum {
    /**
     * Done.
     */
    BLEMISH_OK = 0,
    /**
     * The call was wrong: an argument, a setting, a name, an order of calls.
     */
    BLEMISH_USAGE = 1,
    /**
     * The image or the data set cannot be used.
     */
    BLEMISH_INPUT = 2,
    /**
     * The model file cannot be used.
     */
    BLEMISH_MODEL = 3,
    /**
     * The model has no calibration, and there is nothing to make one of.
     */
    BLEMISH_NOT_CALIBRATED = 4,
    /**
     * Stopped, as was asked for.
     */
    BLEMISH_INTERRUPTED = 5,
    /**
     * The machine: files, memory, devices.
     */
    BLEMISH_ENVIRONMENT = 6,
    /**
     * A fault of the library. Please report it.
     */
    BLEMISH_INTERNAL = 7,
} blemish_code;

/**
 * How pixels lie in memory. 16-bit and float samples are in the machine's byte order.
 */
typedef enum {
    /**
     * Grey, 8 bit.
     */
    BLEMISH_GREY8 = 1,
    /**
     * Grey, 16 bit; white is 65535.
     */
    BLEMISH_GREY16,
    /**
     * Grey, float in [0, 1], or measured values where the model has a value range.
     */
    BLEMISH_GREY32F,
    /**
     * Red, green, blue, 8 bit each.
     */
    BLEMISH_RGB8,
    /**
     * Blue, green, red, 8 bit each: OpenCV, Windows bitmaps.
     */
    BLEMISH_BGR8,
    /**
     * Red, green, blue and an alpha that is not looked at, 8 bit each.
     */
    BLEMISH_RGBA8,
    /**
     * Blue, green, red and an alpha that is not looked at, 8 bit each.
     */
    BLEMISH_BGRA8,
    /**
     * Red, green, blue, 16 bit each.
     */
    BLEMISH_RGB16,
    /**
     * Red, green, blue, float as BLEMISH_GREY32F.
     */
    BLEMISH_RGB32F,
    /**
     * Three planes: red, green, blue, 8 bit: HALCON.
     */
    BLEMISH_PLANAR_RGB8,
    /**
     * Three planes of 16 bit.
     */
    BLEMISH_PLANAR_RGB16,
} blemish_format;

/**
 * What a blemish_progress event tells.
 */
typedef enum {
    /**
     * A stage begins: its name is in stage, its number of steps in total where it is known.
     */
    BLEMISH_PROGRESS_STAGE = 1,
    /**
     * Steps are done: how many in all is in done.
     */
    BLEMISH_PROGRESS_STEP,
    /**
     * How the stage stands, in a few words (loss, rate): in message.
     */
    BLEMISH_PROGRESS_STATUS,
    /**
     * Something to know that does not end the work: in message.
     */
    BLEMISH_PROGRESS_WARNING,
} blemish_progress_kind;

/**
 * A fitted detector, for any number of threads at once. Free it with blemish_detector_free.
 */
typedef struct blemish_detector blemish_detector;

/**
 * What went wrong in a call. Free it with blemish_error_free.
 */
typedef struct blemish_error blemish_error;

/**
 * What a detector says of an image. Free it with blemish_result_free.
 */
typedef struct blemish_result blemish_result;

/**
 * How a call ended: one of blemish_code. Numbers keep their meaning for ever.
 */
typedef int32_t blemish_status;

/**
 * How a detector is to run. All zero is the default.
 */
typedef struct {
    /**
     * sizeof(blemish_load_options).
     */
    uint32_t struct_size;
    /**
     * Threads of the detector; 0 is one for each core. Scores do not depend on it.
     */
    uint32_t threads;
    /**
     * What runs the network: auto, native, rten, ort, burn. NULL is auto.
     */
    const char *engine;
    /**
     * Where: auto, cpu, or a GPU where the library was built for one. NULL is auto.
     */
    const char *device;
    /**
     * Bytes that one image may take as pixels; 0 is 1 GiB.
     */
    uint64_t memory_limit;
} blemish_load_options;

/**
 * An image of the caller's. It is read during the call and not kept.
 */
typedef struct {
    /**
     * sizeof(blemish_image).
     */
    uint32_t struct_size;
    /**
     * A blemish_format.
     */
    int32_t format;
    /**
     * Columns.
     */
    uint32_t width;
    /**
     * Rows.
     */
    uint32_t height;
    /**
     * Bytes from the beginning of a row to that of the next, the same in all planes; 0 if rows follow each other without a gap.
     */
    size_t stride;
    /**
     * planes[0] is the first pixel of the upper row; planes[1] and planes[2] are for planar formats only.
     */
    const void *planes[3];
} blemish_image;

/**
 * What to fit on, and how. Only where the good images are must be said: in data or in images.
 */
typedef struct {
    /**
     * sizeof(blemish_fit_options).
     */
    uint32_t struct_size;
    /**
     * Fixes every random choice.
     */
    uint32_t seed;
    /**
     * A folder of good images, a data set or a list, as for `blemish fit`; NULL if they are in memory.
     */
    const char *data;
    /**
     * Good images in memory, one after another; they are read during the call.
     */
    const blemish_image *images;
    /**
     * How many.
     */
    size_t image_count;
    /**
     * Which category of data with several; NULL if there is one.
     */
    const char *category;
    /**
     * The method; NULL is patchcore.
     */
    const char *method;
    /**
     * Settings of the method as a JSON object, such as {"coreset_ratio": 0.05}; NULL is none.
     */
    const char *settings;
    /**
     * Size of the input in pixels; 0 is chosen by the images.
     */
    uint32_t width;
    /**
     * The same.
     */
    uint32_t height;
    /**
     * Share of good images that may be flagged; 0 is 0.01.
     */
    double false_alarm;
    /**
     * Not 0: no calibration, so no p-values and no decisions, in a fraction of the time.
     */
    int32_t no_calibration;
    /**
     * Not 0: the model can learn on by blemish_update.
     */
    int32_t updatable;
    /**
     * Not 0: images that cannot be read are left out, with a warning to the callback, instead of ending the fit.
     */
    int32_t skip_bad;
    /**
     * How the detector is to run, during the fit and after; NULL is the default.
     */
    const blemish_load_options *running;
    /**
     * Set to other than 0 by another thread, it ends the call with status 5. NULL: nothing does.
     */
    const volatile int32_t *cancel;
} blemish_fit_options;

/**
 * How work stands. It and its texts live during the callback only.
 */
typedef struct {
    /**
     * Bytes of this struct in the library that calls.
     */
    uint32_t struct_size;
    /**
     * A blemish_progress_kind.
     */
    int32_t kind;
    /**
     * The stage under way; never NULL.
     */
    const char *stage;
    /**
     * Words; never NULL, often empty.
     */
    const char *message;
    /**
     * Steps of the stage that are done.
     */
    uint64_t done;
    /**
     * Steps of the stage; 0 where that is not known.
     */
    uint64_t total;
} blemish_progress;

/**
 * Told of progress, from one thread at a time, not always the same. Other than 0 ends the work, which then has status 5. It must come back:
 * no exception, no longjmp.
 */
typedef int32_t (*blemish_progress_callback)(const blemish_progress *progress, void *user);

/**
 * What a detector is to learn from now.
 */
typedef struct {
    /**
     * sizeof(blemish_learn_options).
     */
    uint32_t struct_size;
    /**
     * Not 0: images that cannot be read are left out, with a warning to the callback.
     */
    int32_t skip_bad;
    /**
     * A folder of good images, a list, an image or a pattern; NULL if they are in memory, or none are needed.
     */
    const char *data;
    /**
     * Good images in memory, one after another; they are read during the call.
     */
    const blemish_image *images;
    /**
     * How many.
     */
    size_t image_count;
    /**
     * Share of good images that may be flagged, for blemish_calibrate; 0 keeps the model's own.
     */
    double false_alarm;
    /**
     * Set to other than 0 by another thread, it ends the call with status 5. NULL: nothing does.
     */
    const volatile int32_t *cancel;
} blemish_learn_options;

/**
 * Where the anomaly map lies above the pixel threshold, in pixels of the image.
 */
typedef struct {
    /**
     * sizeof(blemish_region), set by the caller.
     */
    uint32_t struct_size;
    /**
     * The box: first column.
     */
    uint32_t x;
    /**
     * First row.
     */
    uint32_t y;
    /**
     * Columns.
     */
    uint32_t width;
    /**
     * Rows.
     */
    uint32_t height;
    /**
     * Where its highest score is: column.
     */
    uint32_t peak_x;
    /**
     * Row.
     */
    uint32_t peak_y;
    /**
     * Its highest score.
     */
    float peak_score;
    /**
     * Centre of mass: from the left edge.
     */
    double centroid_x;
    /**
     * From the upper edge.
     */
    double centroid_y;
    /**
     * Area in pixels.
     */
    double area;
    /**
     * Mean of its scores.
     */
    double mean_score;
} blemish_region;

/**
 * How an image is scored. All zero is the default.
 */
typedef struct {
    /**
     * sizeof(blemish_score_options).
     */
    uint32_t struct_size;
    /**
     * Not 0: the result has the anomaly map.
     */
    int32_t want_map;
    /**
     * Regions under so many pixels of the image are left out.
     */
    double min_area;
    /**
     * Set to other than 0 by another thread, it ends the call with status 5. NULL: nothing does.
     */
    const volatile int32_t *cancel;
    /**
     * Judge by the thresholds of this category, where the model has several. NULL: by those of all.
     */
    const char *category;
} blemish_score_options;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The number of the interface that the library has: compare it with BLEMISH_ABI_VERSION.
 */
uint32_t blemish_abi_version(void);

/**
 * The version of the library, such as "0.1.0". Never to be freed.
 */
const char *blemish_version(void);

/**
 * Loads a model file. options may be NULL.
 */
blemish_status blemish_load(const char *path,
                            const blemish_load_options *options,
                            blemish_detector **out,
                            blemish_error **error);

/**
 * Loads a model from the bytes of its file, which are copied. options may be NULL.
 */
blemish_status blemish_load_bytes(const void *data,
                                  size_t length,
                                  const blemish_load_options *options,
                                  blemish_detector **out,
                                  blemish_error **error);

/**
 * Proves that the model scores and decides here as where it was fitted: scores the pictures that it holds and compares.
 *
 * largest_difference, which may be NULL, becomes the largest difference of a score or map as a share of the highest map value: 0 for the
 * native engine. Status 3 with the code "not_verified" if the model is not as it was.
 */
blemish_status blemish_verify(const blemish_detector *detector,
                              double *largest_difference,
                              blemish_error **error);

/**
 * Frees a detector, whose threads have ended then. No other call may be using it. NULL is fine.
 */
void blemish_detector_free(blemish_detector *detector);

/**
 * The error's name for programs, such as "not_a_model": stable, in snake case. "" for NULL. Lives as long as the error.
 */
const char *blemish_error_code(const blemish_error *error);

/**
 * What is wrong and where. "" for NULL. Lives as long as the error.
 */
const char *blemish_error_message(const blemish_error *error);

/**
 * How to mend it; "" where nothing more is to say, and for NULL. Lives as long as the error.
 */
const char *blemish_error_help(const blemish_error *error);

/**
 * Frees an error; NULL is fine.
 */
void blemish_error_free(blemish_error *error);

/**
 * Learns what good images look like. progress, which may be NULL, is called with user as the work goes on.
 */
blemish_status blemish_fit(const blemish_fit_options *options,
                           blemish_progress_callback progress,
                           void *user,
                           blemish_detector **out,
                           blemish_error **error);

/**
 * A detector that has learnt from more good images, which the old one stays beside. It has no calibration: blemish_calibrate makes one.
 *
 * The model must have been fitted as updatable. progress may be NULL; it must not use the detector for anything but scoring.
 */
blemish_status blemish_update(const blemish_detector *detector,
                              const blemish_learn_options *options,
                              blemish_progress_callback progress,
                              void *user,
                              blemish_detector **out,
                              blemish_error **error);

/**
 * A detector with new thresholds, which the old one stays beside: from good images that it has not seen, or, without any, from the scores
 * that it holds and another false_alarm.
 */
blemish_status blemish_calibrate(const blemish_detector *detector,
                                 const blemish_learn_options *options,
                                 blemish_progress_callback progress,
                                 void *user,
                                 blemish_detector **out,
                                 blemish_error **error);

/**
 * Writes the detector as a model file, whole or not at all.
 */
blemish_status blemish_save(const blemish_detector *detector, const char *path, blemish_error **error);

/**
 * Raw image score, unbounded, higher is worse. NaN for NULL.
 */
float blemish_result_score(const blemish_result *result);

/**
 * The share of good images that score like this or worse, at most. Returns 1 if there is one; 0 without a calibration, and for NULL.
 */
int32_t blemish_result_p_value(const blemish_result *result,
                               double *out);

/**
 * An image with a score above it is anomalous. Returns 1 if there is one, 0 if not, and for NULL.
 */
int32_t blemish_result_threshold(const blemish_result *result, float *out);

/**
 * Whether the image is anomalous: 1, 0, or -1 without a threshold, and for NULL.
 */
int32_t blemish_result_anomalous(const blemish_result *result);

/**
 * The anomaly map, row by row, as large as the model's input; height and width, which may be NULL, become its size. NULL if it was not
 * wanted. Lives as long as the result.
 */
const float *blemish_result_map(const blemish_result *result,
                                uint32_t *height,
                                uint32_t *width);

/**
 * How many regions there are, the highest peak first. 0 without a pixel threshold, and for NULL.
 */
size_t blemish_result_region_count(const blemish_result *result);

/**
 * A region by its number from 0; out->struct_size must be set.
 */
blemish_status blemish_result_region(const blemish_result *result, size_t index, blemish_region *out);

/**
 * All of it as JSON, the same as a line of `blemish predict`. "" for NULL. Lives as long as the result.
 */
const char *blemish_result_json(const blemish_result *result);

/**
 * Frees a result; NULL is fine.
 */
void blemish_result_free(blemish_result *result);

/**
 * Scores pixels in memory, which are copied once. options may be NULL.
 */
blemish_status blemish_score(const blemish_detector *detector,
                             const blemish_image *image,
                             const blemish_score_options *options,
                             blemish_result **out,
                             blemish_error **error);

/**
 * Scores the bytes of a PNG, JPEG, TIFF, BMP, WebP, PNM or GIF file. options may be NULL.
 */
blemish_status blemish_score_encoded(const blemish_detector *detector,
                                     const void *data,
                                     size_t length,
                                     const blemish_score_options *options,
                                     blemish_result **out,
                                     blemish_error **error);

/**
 * Scores an image file. options may be NULL.
 */
blemish_status blemish_score_file(const blemish_detector *detector,
                                  const char *path,
                                  const blemish_score_options *options,
                                  blemish_result **out,
                                  blemish_error **error);

/**
 * Scores pixels in one call, with nothing to free.
 *
 * pixels is the upper row's first; stride in bytes, 0 if rows follow each other without a gap; planes of planar formats follow each other.
 * p_value becomes -1 without a calibration, anomalous 1, 0, or -1 without a threshold. map, with room for map_capacity numbers, gets the
 * anomaly map row by row; if it is too small the status is 1, map_height and map_width tell what is needed, and nothing is written to map.
 * message gets the error, "" if there is none; it is cut to message_capacity bytes, the zero at the end among them. Only detector, pixels
 * and score must not be NULL.
 */
blemish_status blemish_score_simple(const blemish_detector *detector,
                                    const uint8_t *pixels,
                                    int32_t width,
                                    int32_t height,
                                    int32_t stride,
                                    int32_t format,
                                    double *score,
                                    double *p_value,
                                    int32_t *anomalous,
                                    float *map,
                                    int32_t map_capacity,
                                    int32_t *map_height,
                                    int32_t *map_width,
                                    char *message,
                                    int32_t message_capacity);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* BLEMISH_H */
