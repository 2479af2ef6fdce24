/* The resampler's two loops: weighted sums of rows, then of columns; and means of whole blocks.
 *
 * Every sum is taken in the order and the precision of the NumPy code in pyramid.py (float32, product then sum, never
 * contracted), so the bytes are the same with and without this extension. Indices come checked from there, and are
 * checked here once more.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#define HAS_SSE2 1
#endif
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__linux__)
#define WIDE __attribute__((target_clones("avx2", "default"))) /* chosen when the library is loaded */
#else
#define WIDE
#endif

/* sums[i] += row[i] * weight */
WIDE static void add_row(float *restrict sums, const uint8_t *restrict row, float weight, Py_ssize_t n) {
    for (Py_ssize_t i = 0; i < n; i++) sums[i] += (float)row[i] * weight;
}

static uint8_t to_byte(float v) {
    v = rintf(v); /* half to even */
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* One row of RGB out of sums, which may be read one number beyond their end. */
static void across_rgb(const float *sums, const int32_t *index, const float *weight, int taps, Py_ssize_t size, uint8_t *out) {
    for (Py_ssize_t x = 0; x < size; x++) {
#ifdef HAS_SSE2
        __m128 total = _mm_setzero_ps();
        for (int t = 0; t < taps; t++)
            total = _mm_add_ps(total, _mm_mul_ps(_mm_loadu_ps(sums + 3 * (Py_ssize_t)index[t * size + x]),
                                                 _mm_set1_ps(weight[t * size + x])));
        __m128i words = _mm_packs_epi32(_mm_cvtps_epi32(total), _mm_setzero_si128());
        int32_t bytes = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
        memcpy(out + 3 * x, &bytes, 3);
#else
        float total[3] = {0, 0, 0};
        for (int t = 0; t < taps; t++)
            for (int c = 0; c < 3; c++)
                total[c] += sums[3 * (Py_ssize_t)index[t * size + x] + c] * weight[t * size + x];
        for (int c = 0; c < 3; c++) out[3 * x + c] = to_byte(total[c]);
#endif
    }
}

static void across_any(const float *sums, const int32_t *index, const float *weight, int taps, Py_ssize_t size,
                       Py_ssize_t channels, uint8_t *out) {
    for (Py_ssize_t x = 0; x < size; x++)
        for (Py_ssize_t c = 0; c < channels; c++) {
            float total = 0;
            for (int t = 0; t < taps; t++)
                total += sums[channels * (Py_ssize_t)index[t * size + x] + c] * weight[t * size + x];
            out[channels * x + c] = to_byte(total);
        }
}

typedef struct {
    Py_buffer index, weight;
    int taps;
    Py_ssize_t size;
} Axis;

static int open_axis(Axis *axis, PyObject *index, PyObject *weight, Py_ssize_t n) {
    if (PyObject_GetBuffer(index, &axis->index, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)) return 0;
    if (PyObject_GetBuffer(weight, &axis->weight, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)) {
        PyBuffer_Release(&axis->index);
        return 0;
    }
    const Py_buffer *i = &axis->index, *w = &axis->weight;
    int good = i->ndim == 2 && w->ndim == 2 && i->itemsize == 4 && w->itemsize == 4 && !strcmp(w->format, "f") &&
               (!strcmp(i->format, "i") || !strcmp(i->format, "l")) && i->shape[0] == w->shape[0] &&
               i->shape[1] == w->shape[1] && i->shape[0] < 1 << 20;
    for (Py_ssize_t k = 0; good && k < i->len / 4; k++) {
        int32_t v = ((const int32_t *)i->buf)[k];
        good = v >= 0 && v < n;
    }
    axis->taps = good ? (int)i->shape[0] : 0;
    axis->size = good ? i->shape[1] : 0;
    if (good) return 1;
    PyBuffer_Release(&axis->index);
    PyBuffer_Release(&axis->weight);
    PyErr_SetString(PyExc_ValueError, "an axis needs int32[taps, size] within the image and float32[taps, size]");
    return 0;
}

static void close_axis(Axis *axis) {
    PyBuffer_Release(&axis->index);
    PyBuffer_Release(&axis->weight);
}

static int open_images(PyObject *source, PyObject *target, Py_buffer *image, Py_buffer *out) {
    if (PyObject_GetBuffer(source, image, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)) return 0;
    if (PyObject_GetBuffer(target, out, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)) {
        PyBuffer_Release(image);
        return 0;
    }
    /* No side is empty, so the product of the sides is the length of a buffer and cannot have wrapped. */
    int good = image->ndim == 3 && out->ndim == 3 && !strcmp(image->format, "B") && !strcmp(out->format, "B") &&
               image->shape[2] == out->shape[2] && image->len > 0 && out->len > 0;
    if (good) good = image->shape[1] * image->shape[2] <= PY_SSIZE_T_MAX / 8 - 8; /* sums of a row fit, too */
    if (good) return 1;
    PyBuffer_Release(image);
    PyBuffer_Release(out);
    PyErr_SetString(PyExc_ValueError, "images must be uint8[h, w, c] and not empty");
    return 0;
}

/* resample(image, row_index, row_weight, column_index, column_weight, out) */
static PyObject *resample(PyObject *self, PyObject *args) {
    PyObject *source, *target, *ri, *rw, *ci, *cw;
    Py_buffer image, out;
    Axis rows, columns;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOOOOO", &source, &ri, &rw, &ci, &cw, &target)) return NULL;
    if (!open_images(source, target, &image, &out)) return NULL;
    if (!open_axis(&rows, ri, rw, image.shape[0])) goto images;
    if (!open_axis(&columns, ci, cw, image.shape[1])) goto axis;
    const Py_ssize_t channels = image.shape[2], width = image.shape[1] * channels;
    if (out.shape[0] != rows.size || out.shape[1] != columns.size) {
        PyErr_SetString(PyExc_ValueError, "out must have the size of the axes");
    } else {
        float *sums = malloc((size_t)(width + 4) * sizeof *sums);
        if (!sums) {
            PyErr_NoMemory();
        } else {
            Py_BEGIN_ALLOW_THREADS
            for (Py_ssize_t r = 0; r < rows.size; r++) {
                memset(sums, 0, (size_t)(width + 4) * sizeof *sums);
                for (int t = 0; t < rows.taps; t++) {
                    float weight = ((const float *)rows.weight.buf)[t * rows.size + r];
                    const int32_t row = ((const int32_t *)rows.index.buf)[t * rows.size + r];
                    if (weight != 0) add_row(sums, (const uint8_t *)image.buf + row * width, weight, width);
                }
                uint8_t *to = (uint8_t *)out.buf + r * columns.size * channels;
                if (channels == 3) across_rgb(sums, columns.index.buf, columns.weight.buf, columns.taps, columns.size, to);
                else across_any(sums, columns.index.buf, columns.weight.buf, columns.taps, columns.size, channels, to);
            }
            Py_END_ALLOW_THREADS
            free(sums);
        }
    }
    close_axis(&columns);
axis:
    close_axis(&rows);
images:
    PyBuffer_Release(&image);
    PyBuffer_Release(&out);
    if (PyErr_Occurred()) return NULL;
    Py_RETURN_NONE;
}

/* totals[i] += row[i] */
WIDE static void add_counts(uint32_t *restrict totals, const uint8_t *restrict row, Py_ssize_t n) {
    for (Py_ssize_t i = 0; i < n; i++) totals[i] += row[i];
}

/* Sums of `factor` neighbours in a row of totals, divided by the area; a constant factor makes a loop that is unrolled. */
static inline void means_of(const uint32_t *totals, int factor, Py_ssize_t channels, Py_ssize_t n, uint8_t *out) {
    const uint32_t area = (uint32_t)(factor * factor);
    for (Py_ssize_t x = 0; x < n; x++)
        for (Py_ssize_t c = 0; c < channels; c++) {
            uint32_t total = area / 2;
            for (int dx = 0; dx < factor; dx++) total += totals[(x * factor + dx) * channels + c];
            out[x * channels + c] = (uint8_t)(total / area);
        }
}

/* block_means(image, factor, out): means of factor x factor pixels, half rounded up */
static PyObject *block_means(PyObject *self, PyObject *args) {
    PyObject *source, *target;
    Py_buffer image, out;
    int factor;
    (void)self;
    if (!PyArg_ParseTuple(args, "OiO", &source, &factor, &target)) return NULL;
    if (!open_images(source, target, &image, &out)) return NULL;
    const Py_ssize_t channels = image.shape[2], width = image.shape[1] * channels;
    uint32_t *totals = NULL;
    if (factor < 1 || factor > 4096 || image.shape[0] / factor != out.shape[0] || image.shape[0] % factor ||
        image.shape[1] / factor != out.shape[1] || image.shape[1] % factor) {
        PyErr_SetString(PyExc_ValueError, "the image must be whole blocks, one for each pixel of out");
    } else if (!(totals = malloc((size_t)(width + 1) * sizeof *totals))) {
        PyErr_NoMemory();
    } else {
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t r = 0; r < out.shape[0]; r++) {
            memset(totals, 0, (size_t)width * sizeof *totals);
            for (int dy = 0; dy < factor; dy++)
                add_counts(totals, (const uint8_t *)image.buf + (r * factor + dy) * width, width);
            uint8_t *to = (uint8_t *)out.buf + r * out.shape[1] * channels;
            if (factor == 2 && channels == 3) means_of(totals, 2, 3, out.shape[1], to);
            else means_of(totals, factor, channels, out.shape[1], to);
        }
        Py_END_ALLOW_THREADS
    }
    free(totals);
    PyBuffer_Release(&image);
    PyBuffer_Release(&out);
    if (PyErr_Occurred()) return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"resample", resample, METH_VARARGS, "Weighted sums of rows, then of columns, into out."},
    {"block_means", block_means, METH_VARARGS, "Means of factor x factor pixels into out, half rounded up."},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_resample", "Area resampling.", -1, methods, NULL, NULL, NULL,
                                    NULL};

PyMODINIT_FUNC PyInit__resample(void) { return PyModule_Create(&module); }
