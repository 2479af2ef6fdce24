/* The resampler's two loops: weighted sums of rows, then of columns; means of whole blocks; colours by a table.
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
#if defined(__GNUC__) && defined(__x86_64__)
#include <immintrin.h>
#define HAS_AVX2 1 /* in functions made for it, if the processor has it */
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

/* A cell of 8 x 8 x 16 colours: mark LINEAR says that new colour c of one that lies (dr, dg, db) from the cell's corner is
 * (16 base[c] + red[c] dr + green[c] dg + blue[c] db) >> 7, mark LISTED that the 1,024 new ones are listed from 1,024 * place on.
 */
enum { LINEAR = 128, LISTED = 256 };
typedef struct {
    union {
        int16_t base_red[6];                /* base[0], red[0], base[1], red[1], base[2], red[2] */
        uint32_t place;
    } first;
    int16_t mark, zero;                     /* a fourth colour, 16 mark >> 7, says what kind of cell it is */
    int16_t green_blue[6], none[2];
} Cell;

/* The new colour of a pixel, red in the lowest byte of both. */
static inline uint32_t within(const Cell *cell, uint32_t pixel) {
#ifdef HAS_SSE2
    const __m128i first = _mm_madd_epi16(_mm_loadu_si128((const __m128i *)cell->first.base_red),
                                         _mm_set1_epi32((int)(16 | (pixel & 7) << 16)));
    const __m128i second = _mm_madd_epi16(_mm_loadu_si128((const __m128i *)cell->green_blue),
                                          _mm_set1_epi32((int)((pixel >> 8 & 7) | (pixel & 0xF0000))));
    const __m128i words = _mm_srai_epi32(_mm_add_epi32(first, second), 7);
    return (uint32_t)_mm_cvtsi128_si32(_mm_packus_epi16(_mm_packs_epi32(words, words), words));
#else
    uint32_t colour = 0;
    for (int c = 0; c < 3; c++) {
        int v = (16 * cell->first.base_red[2 * c] + cell->first.base_red[2 * c + 1] * (int)(pixel & 7) +
                 cell->green_blue[2 * c] * (int)(pixel >> 8 & 7) + cell->green_blue[2 * c + 1] * (int)(pixel >> 16 & 15)) >> 7;
        colour |= (uint32_t)(v < 0 ? 0 : v > 255 ? 255 : v) << (8 * c);
    }
    return colour;
#endif
}

static inline uint32_t three(const uint8_t *at) { return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16; }

#ifdef HAS_SSE2 /* x86: the lowest byte comes first; a fourth is read where one follows */
static inline uint32_t four(const uint8_t *at) {
    uint32_t pixel;
    memcpy(&pixel, at, 4);
    return pixel;
}
#else
#define four three
#endif

static inline size_t number_of(uint32_t pixel) { return (pixel & 0xF8) << 6 | (pixel >> 7 & 0x1F0) | (pixel >> 20 & 15); }

static inline void put(uint8_t *at, uint32_t colour) {
    at[0] = (uint8_t)colour;
    at[1] = (uint8_t)(colour >> 8);
    at[2] = (uint8_t)(colour >> 16);
}

static inline int is_listed(const Cell *cell, uint32_t lists) { return cell->mark == LISTED && cell->first.place < lists; }

static inline size_t place_of(const Cell *cell, uint32_t pixel) {
    return (size_t)cell->first.place << 10 | (pixel & 7) << 7 | (pixel >> 4 & 0x70) | (pixel >> 16 & 15);
}

/* New colours for pixels[n, 3] one by one, up to one that is not known; how many. */
static Py_ssize_t recolour_each(uint8_t *at, Py_ssize_t n, const Cell *cells, const uint32_t *listed, uint32_t lists) {
    Py_ssize_t x = 0;
    uint32_t next = n > 1 ? four(at) : n ? three(at) : 0;
    for (; x < n; x++, at += 3) {
        const uint32_t pixel = next;
        const Cell *cell = cells + number_of(pixel);
        if (x + 2 < n) next = four(at + 3);
        else if (x + 1 < n) next = three(at + 3);
        uint32_t colour;
        if (cell->mark == LINEAR) colour = within(cell, pixel);
        else if (is_listed(cell, lists)) colour = listed[place_of(cell, pixel)];
        else break;
        put(at, colour);
    }
    return x;
}

#ifdef HAS_AVX2
#define IN_BOTH_LANES(...) _mm256_setr_epi8(__VA_ARGS__, __VA_ARGS__)
#define CELL(k) _mm256_load_si256((const __m256i *)((const char *)cells + offset[k]))
#define SUM(k, inside) _mm256_madd_epi16(CELL(k), _mm256_shuffle_epi32(inside, 0x55 * ((k) % 4)))
#define PAIR(k) pair_of(SUM(k, first), SUM((k) + 4, last))
#define INSIDE(four) _mm256_or_si256(_mm256_and_si256(_mm256_shuffle_epi8(four, weights), least), corner)

/* Both lanes of a sum added: the new colour of one pixel in the lower lane, that of another in the upper one. */
__attribute__((target("avx2"))) static inline __m256i pair_of(__m256i one, __m256i other) {
    const __m256i halves = _mm256_blend_epi32(one, other, 0xF0), rest = _mm256_permute2x128_si256(one, other, 0x21);
    return _mm256_srai_epi32(_mm256_add_epi32(halves, rest), 7);
}

/* The same eight at a time; a cell is one register, base and red below, green and blue above, and so is what it is multiplied by. */
__attribute__((target("avx2"))) static Py_ssize_t recolour_eights(uint8_t *at, Py_ssize_t n, const Cell *cells,
                                                                  const uint32_t *listed, uint32_t lists) {
    const __m256i weights = _mm256_setr_epi8(-1, -1, 0, -1, -1, -1, 3, -1, -1, -1, 6, -1, -1, -1, 9, -1,
                                             1, -1, 2, -1, 4, -1, 5, -1, 7, -1, 8, -1, 10, -1, 11, -1);
    const __m256i apart = IN_BOTH_LANES(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1);
    const __m256i close = IN_BOTH_LANES(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
    const __m256i least = _mm256_setr_epi32(0x70007, 0x70007, 0x70007, 0x70007, 0xF0007, 0xF0007, 0xF0007, 0xF0007);
    const __m256i corner = _mm256_setr_epi32(16, 16, 16, 16, 0, 0, 0, 0);
    const __m256i top = _mm256_set1_epi32((int)0xFF000000), linear = _mm256_set1_epi32((16 * LINEAR >> 7) << 24);
    Py_ssize_t x = 0;
    for (; x + 10 <= n; x += 8, at += 24) { /* 28 bytes are read of 24 */
        const __m128i begin = _mm_loadu_si128((const __m128i *)at), end = _mm_loadu_si128((const __m128i *)(at + 12));
        const __m256i pixels = _mm256_shuffle_epi8(_mm256_inserti128_si256(_mm256_castsi128_si256(begin), end, 1), apart);
        const __m256i first = INSIDE(_mm256_broadcastsi128_si256(begin)), last = INSIDE(_mm256_broadcastsi128_si256(end));
        uint32_t offset[8] __attribute__((aligned(32)));
        _mm256_store_si256((__m256i *)offset, _mm256_or_si256(
            _mm256_slli_epi32(_mm256_and_si256(pixels, _mm256_set1_epi32(0xF8)), 11),
            _mm256_or_si256(_mm256_srli_epi32(_mm256_and_si256(pixels, _mm256_set1_epi32(0xF800)), 2),
                            _mm256_and_si256(_mm256_srli_epi32(pixels, 15), _mm256_set1_epi32(0x1E0)))));
        const __m256i colours = _mm256_packus_epi16(_mm256_packs_epi32(PAIR(0), PAIR(1)), _mm256_packs_epi32(PAIR(2), PAIR(3)));
        const __m256i are_linear = _mm256_cmpeq_epi32(_mm256_and_si256(colours, top), linear);
        unsigned others = ~(unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(are_linear)) & 0xFF;
        uint32_t fixed[8];
        for (unsigned left = others; left; left &= left - 1) {
            const int k = __builtin_ctz(left);
            const Cell *cell = (const Cell *)((const char *)cells + offset[k]);
            if (!is_listed(cell, lists)) return x + recolour_each(at, 8, cells, listed, lists);
            fixed[k] = listed[place_of(cell, four(at + 3 * k))];
        }
        const __m256i bytes = _mm256_shuffle_epi8(colours, close);
        const __m128i upper = _mm256_extracti128_si256(bytes, 1);
        const int32_t tail = _mm_extract_epi32(upper, 2);
        _mm_storeu_si128((__m128i *)at, _mm256_castsi256_si128(bytes));
        _mm_storel_epi64((__m128i *)(at + 12), upper);
        memcpy(at + 20, &tail, 4);
        for (; others; others &= others - 1) put(at + 3 * __builtin_ctz(others), fixed[__builtin_ctz(others)]);
    }
    return x;
}
#endif

static Py_ssize_t recolour_all(uint8_t *at, Py_ssize_t n, const Cell *cells, const uint32_t *listed, uint32_t lists) {
    Py_ssize_t x = 0;
#ifdef HAS_AVX2
    if (__builtin_cpu_supports("avx2") && !((uintptr_t)cells % sizeof(Cell))) {
        x = recolour_eights(at, n, cells, listed, lists);
        if (n - x >= 10) return x;
    }
#endif
    return x + recolour_each(at + 3 * x, n - x, cells, listed, lists);
}

/* recolour(pixels, cells, listed): new colours for pixels[n, 3]; see Cell.
 *
 * Stops at the first pixel of a cell without a mark, or of one whose colours lie beyond the end of `listed`, uint32[n] with red in
 * the lowest byte. Returns how many pixels got new colours.
 */
static PyObject *recolour(PyObject *self, PyObject *args) {
    PyObject *source, *parts[2];
    Py_buffer image, tables[2];
    Py_ssize_t done = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOO", &source, &parts[0], &parts[1])) return NULL;
    if (PyObject_GetBuffer(source, &image, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)) return NULL;
    for (int t = 0; t < 2; t++)
        if (PyObject_GetBuffer(parts[t], &tables[t], PyBUF_C_CONTIGUOUS)) {
            if (t) PyBuffer_Release(&tables[0]);
            PyBuffer_Release(&image);
            return NULL;
        }
    if (image.ndim != 2 || image.itemsize != 1 || image.shape[1] != 3 || tables[0].len != (Py_ssize_t)sizeof(Cell) << 14 ||
        tables[1].itemsize != 4) {
        PyErr_SetString(PyExc_ValueError, "recolour expects bytes[n, 3], 1 << 14 cells, and numbers of 32 bits");
    } else {
        Py_BEGIN_ALLOW_THREADS
        done = recolour_all(image.buf, image.shape[0], tables[0].buf, tables[1].buf, (uint32_t)(tables[1].len / 4096));
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&image);
    PyBuffer_Release(&tables[0]);
    PyBuffer_Release(&tables[1]);
    if (PyErr_Occurred()) return NULL;
    return PyLong_FromSsize_t(done);
}

static PyMethodDef methods[] = {
    {"resample", resample, METH_VARARGS, "Weighted sums of rows, then of columns, into out."},
    {"block_means", block_means, METH_VARARGS, "Means of factor x factor pixels into out, half rounded up."},
    {"recolour", recolour, METH_VARARGS, "Colours of pixels replaced by those of a table; how many were."},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_resample", "Area resampling.", -1, methods, NULL, NULL, NULL,
                                    NULL};

PyMODINIT_FUNC PyInit__resample(void) { return PyModule_Create(&module); }
