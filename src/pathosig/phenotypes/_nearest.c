/* Assignment in one pass: a few rows at a time are widened, projected, refined, compared with the centroids and decided,
 * while they stay in the cache; nothing but the columns of the result goes back to memory.
 *
 * LANES lists the widths of vectors that this processor has (x86-64: 16 with AVX-512F, 8 with AVX2 and FMA), widest first.
 * Each row's result depends on that row only. Every array is checked before it is read.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 48 /* rows at a time: full vectors of both widths, full blocks of six rows */

typedef struct {
    size_t inner, columns, stride; /* [inner, columns]; of `out`, room for one number more than columns, then as many as align */
    float *packed;                 /* blocks of some vectors of columns, each `inner` rows */
    float *out;                    /* [CHUNK, stride] */
} Matrix;

typedef struct {
    const char *rows; /* [n, d], float16 or float32 */
    size_t n, d, k, read_stride;
    int half;
    Matrix projected, hidden, moved, similarity; /* columns = 0: there is none */
    float *read, *cosines;                       /* [CHUNK, read_stride]; [k, lanes] */
    const float *radius;                         /* NULL: the nearest alone */
    float sharpness;
    size_t start, total; /* row 0 is row `start` of `total` in the columns below */
    int16_t *hpc;
    float *confidence, *distance;
} Job;

typedef struct {
    int32_t index[3][16];
    float cosine[3][16], confidence[3][16];
} Found;

static size_t padded(size_t columns) { return ((columns + 16) & ~(size_t)15) | 16; } /* odd cache lines: rows in other sets */

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

static inline float at_least(float x, float low) { return x < low ? low : x; } /* NaN stays */
static inline float root(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }

/* As numpy's argmax: the first NaN, else the first of the largest. */
static int32_t first_largest(const float *s, size_t k) {
    size_t best = 0;
    for (size_t i = 0; i < k; i++) {
        if (s[i] != s[i]) return (int32_t)i;
        if (s[i] > s[best]) best = i;
    }
    return (int32_t)best;
}

static void write_nearest(const Job *job, const Found *f, const float *s, size_t stride, size_t start, size_t rows) {
    for (size_t r = 0; r < rows; r++) {
        int finite = f->cosine[0][r] - f->cosine[0][r] == 0;
        job->hpc[job->start + start + r] = (int16_t)(finite ? f->index[0][r] : first_largest(s + r * stride, job->k));
    }
}

/* A row that is not a number has the last phenotype thrice, and no confidence. */
static void write_three(const Job *job, const Found *f, size_t start, size_t rows) {
    size_t top = job->k < 3 ? job->k : 3, at = job->start + start;
    for (size_t place = 0; place < top; place++)
        for (size_t r = 0; r < rows; r++) {
            int lost = f->index[0][r] < 0;
            job->hpc[place * job->total + at + r] = (int16_t)(lost ? (int32_t)job->k - 1 : f->index[place][r]);
            job->confidence[place * job->total + at + r] = lost ? __builtin_nanf("") : f->confidence[place][r];
        }
    for (size_t r = 0; r < rows; r++) {
        int lost = f->index[0][r] < 0;
        job->distance[at + r] = lost ? __builtin_nanf("") : (1 - f->cosine[0][r]) / job->radius[f->index[0][r]];
    }
}

#define ALWAYS TARGET static inline __attribute__((always_inline))

#define TARGET __attribute__((target("avx512f")))
#define NAME(name) name##_avx512
#define LANES 16
#define WIDE 4 /* 6 x 4 sums, 4 vectors of columns and one of rows in 32 registers */
#define V __m512
#define VI __m512i
#define MASK __mmask16
#define SET _mm512_set1_ps
#define LOAD _mm512_loadu_ps
#define STORE _mm512_storeu_ps
#define FMA _mm512_fmadd_ps
#define ADD _mm512_add_ps
#define SUBTRACT _mm512_sub_ps
#define MULTIPLY _mm512_mul_ps
#define DIVIDE _mm512_div_ps
#define MAX _mm512_max_ps /* NaN in the second stays */
#define WIDEN(in) _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(in)))
#define SET_INDEX _mm512_set1_epi32
#define STORE_INDEX(out, v) _mm512_storeu_si512(out, v)
#define GREATER(a, b) _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ)
#define PICK(mask, yes, no) _mm512_mask_blend_ps(mask, no, yes)
#define PICK_INDEX(mask, yes, no) _mm512_mask_blend_epi32(mask, no, yes)
#define ROUND(x) _mm512_roundscale_ps(x, 0)
#define TIMES_POWER_OF_TWO _mm512_scalef_ps

ALWAYS float sum_avx512(V v) { return _mm512_reduce_add_ps(v); }

ALWAYS void transpose_avx512(V *v) {
    V t[16];
    for (int i = 0; i < 16; i += 2) t[i] = _mm512_unpacklo_ps(v[i], v[i + 1]), t[i + 1] = _mm512_unpackhi_ps(v[i], v[i + 1]);
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 2; j++) {
            __m512d a = _mm512_castps_pd(t[i + j]), b = _mm512_castps_pd(t[i + j + 2]);
            v[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
            v[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        }
    for (int i = 0; i < 16; i += 8)
        for (int j = 0; j < 4; j++) {
            t[i + j] = _mm512_shuffle_f32x4(v[i + j], v[i + j + 4], 0x88);
            t[i + j + 4] = _mm512_shuffle_f32x4(v[i + j], v[i + j + 4], 0xdd);
        }
    for (int j = 0; j < 8; j++) {
        v[j] = _mm512_shuffle_f32x4(t[j], t[j + 8], 0x88);
        v[j + 8] = _mm512_shuffle_f32x4(t[j], t[j + 8], 0xdd);
    }
}

#include "_nearest_kernel.h"

#undef TARGET
#undef NAME
#undef LANES
#undef WIDE
#undef V
#undef VI
#undef MASK
#undef SET
#undef LOAD
#undef STORE
#undef FMA
#undef ADD
#undef SUBTRACT
#undef MULTIPLY
#undef DIVIDE
#undef MAX
#undef WIDEN
#undef SET_INDEX
#undef STORE_INDEX
#undef GREATER
#undef PICK
#undef PICK_INDEX
#undef ROUND
#undef TIMES_POWER_OF_TWO

#define TARGET __attribute__((target("avx2,fma,f16c")))
#define NAME(name) name##_avx2
#define LANES 8
#define WIDE 2 /* 6 x 2 sums, 2 vectors of columns and one of rows in 16 registers */
#define V __m256
#define VI __m256i
#define MASK __m256
#define SET _mm256_set1_ps
#define LOAD _mm256_loadu_ps
#define STORE _mm256_storeu_ps
#define FMA _mm256_fmadd_ps
#define ADD _mm256_add_ps
#define SUBTRACT _mm256_sub_ps
#define MULTIPLY _mm256_mul_ps
#define DIVIDE _mm256_div_ps
#define MAX _mm256_max_ps
#define WIDEN(in) _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(in)))
#define SET_INDEX _mm256_set1_epi32
#define STORE_INDEX(out, v) _mm256_storeu_si256((__m256i *)(out), v)
#define GREATER(a, b) _mm256_cmp_ps(a, b, _CMP_GT_OQ)
#define PICK(mask, yes, no) _mm256_blendv_ps(no, yes, mask)
#define PICK_INDEX(mask, yes, no) _mm256_blendv_epi8(no, yes, _mm256_castps_si256(mask))
#define ROUND(x) _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
#define TIMES_POWER_OF_TWO times_power_of_two

ALWAYS float sum_avx2(V v) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/* In two steps: 2 ^ n may lie below what a number holds. */
ALWAYS V times_power_of_two(V x, V n) {
    VI whole = _mm256_cvtps_epi32(n), part = _mm256_srai_epi32(whole, 1), bias = SET_INDEX(127);
    V first = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(part, bias), 23));
    V second = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(whole, part), bias), 23));
    return MULTIPLY(MULTIPLY(x, first), second);
}

ALWAYS void transpose_avx2(V *v) {
    V t[8];
    for (int i = 0; i < 8; i += 2) t[i] = _mm256_unpacklo_ps(v[i], v[i + 1]), t[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
    for (int i = 0; i < 8; i += 4)
        for (int j = 0; j < 2; j++) {
            v[i + 2 * j] = _mm256_shuffle_ps(t[i + j], t[i + j + 2], 0x44);
            v[i + 2 * j + 1] = _mm256_shuffle_ps(t[i + j], t[i + j + 2], 0xee);
        }
    for (int j = 0; j < 4; j++) {
        t[j] = _mm256_permute2f128_ps(v[j], v[j + 4], 0x20);
        t[j + 4] = _mm256_permute2f128_ps(v[j], v[j + 4], 0x31);
    }
    for (int j = 0; j < 8; j++) v[j] = t[j];
}

#include "_nearest_kernel.h"

static void assign(const Job *job, int lanes) { (lanes == 16 ? assign_avx512 : assign_avx2)(job); }

static int processor_has(int lanes) {
    if (lanes == 16) return __builtin_cpu_supports("avx512f");
    return lanes == 8 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}
#else
static void assign(const Job *job, int lanes) { (void)job, (void)lanes; }
static int processor_has(int lanes) { return (void)lanes, 0; }
#endif

/* ---- what Python sees ---- */

#define ARRAYS 9 /* rows, four matrices, radius, three columns */

typedef struct {
    Py_buffer views[ARRAYS];
    int held;
} Arrays;

/* The next array, contiguous, of one of the formats and as many axes; NULL with an exception set. */
static Py_buffer *open_array(Arrays *arrays, PyObject *object, int writable, const char *formats, int axes) {
    Py_buffer *view = &arrays->views[arrays->held];
    if (PyObject_GetBuffer(object, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0))) {
        if (PyErr_ExceptionMatches(PyExc_BufferError)) PyErr_SetString(PyExc_ValueError, "expected a contiguous array");
        return NULL;
    }
    arrays->held++;
    if (view->ndim == axes && view->format && strlen(view->format) == 1 && strchr(formats, *view->format)) return view;
    PyErr_Format(PyExc_ValueError, "expected a contiguous array of %d axes and format %s", axes, formats);
    return NULL;
}

static int refuse(const char *why) {
    PyErr_SetString(PyExc_ValueError, why);
    return 0;
}

/* A float32 matrix of `inner` rows (any number where 0), whose packed copy and products are made later. */
static int open_matrix(Arrays *arrays, PyObject *object, size_t inner, Matrix *m) {
    Py_buffer *view = open_array(arrays, object, 0, "f", 2);
    if (!view) return 0;
    if (view->shape[0] < 1 || view->shape[1] < 1 || (inner && (size_t)view->shape[0] != inner))
        return refuse("the matrices must follow on each other, none empty");
    m->inner = (size_t)view->shape[0], m->columns = (size_t)view->shape[1], m->stride = padded(m->columns);
    m->packed = view->buf; /* until `prepare` */
    return 1;
}

/* (projection) and (projection, centroids) and (projection, w1, w2, centroids). */
static int open_matrices(Arrays *arrays, PyObject *tuple, Job *job) {
    Py_ssize_t count = PyTuple_GET_SIZE(tuple);
    if (count != 1 && count != 2 && count != 4) return refuse("expected one, two or four matrices");
    if (!open_matrix(arrays, PyTuple_GET_ITEM(tuple, 0), job->d + 1, &job->projected)) return 0;
    size_t p = job->projected.columns;
    if (count == 4) {
        if (!open_matrix(arrays, PyTuple_GET_ITEM(tuple, 1), p + 1, &job->hidden)) return 0;
        if (!open_matrix(arrays, PyTuple_GET_ITEM(tuple, 2), job->hidden.columns, &job->moved)) return 0;
        if (job->moved.columns != p) return refuse("the refinement must give as many columns as it takes");
    }
    if (count > 1 && !open_matrix(arrays, PyTuple_GET_ITEM(tuple, count - 1), p, &job->similarity)) return 0;
    job->k = count > 1 ? job->similarity.columns : p;
    return job->k <= INT16_MAX || refuse("too many centroids");
}

/* (hpc[1, total]) for the nearest alone; with centroids also (hpc[3, total], confidence[3, total], distance[total]). */
static int open_columns(Arrays *arrays, PyObject *tuple, PyObject *radius, Job *job) {
    int all = PyTuple_GET_SIZE(tuple) == 3;
    if (!all && PyTuple_GET_SIZE(tuple) != 1) return refuse("expected one column or three");
    if (all && !job->similarity.columns) return refuse("three columns need centroids");
    Py_buffer *hpc = open_array(arrays, PyTuple_GET_ITEM(tuple, 0), 1, "h", 2), *view;
    if (!hpc) return 0;
    if (hpc->shape[0] != (all ? 3 : 1)) return refuse("hpc must be [3, n], or [1, n] where it is all");
    job->hpc = hpc->buf, job->total = (size_t)hpc->shape[1];
    if (job->start > job->total || job->n > job->total - job->start) return refuse("more rows than places for them");
    if (!all) return 1;
    if (!(view = open_array(arrays, radius, 0, "f", 1))) return 0;
    if ((size_t)view->shape[0] != job->k) return refuse("radius must be [k]");
    job->radius = view->buf;
    if (!(view = open_array(arrays, PyTuple_GET_ITEM(tuple, 1), 1, "f", 2))) return 0;
    if (view->shape[0] != 3 || view->shape[1] != hpc->shape[1]) return refuse("confidence must be [3, n]");
    job->confidence = view->buf;
    if (!(view = open_array(arrays, PyTuple_GET_ITEM(tuple, 2), 1, "f", 1))) return 0;
    if (view->shape[0] != hpc->shape[1]) return refuse("distance must be [n]");
    job->distance = view->buf;
    return 1;
}

/* Blocks of up to `block` columns, filled up with nought to whole vectors; gives back where the next may begin. */
static float *pack(Matrix *m, size_t lanes, size_t block, float *to) {
    const float *from = m->packed;
    m->packed = to;
    for (size_t first = 0; first < m->columns; first += block) {
        size_t wanted = m->columns - first < block ? m->columns - first : block;
        size_t width = (wanted + lanes - 1) / lanes * lanes;
        for (size_t row = 0; row < m->inner; row++, to += width)
            memcpy(to, from + row * m->columns + first, wanted * sizeof(float));
    }
    m->out = to;
    return to + CHUNK * m->stride;
}

/* All memory of a job, zeroed: packed matrices, their products, rows read. NULL where there is too little. */
static void *prepare(Job *job, size_t lanes) {
    Matrix *all[] = {&job->projected, &job->hidden, &job->moved, &job->similarity};
    job->read_stride = padded(job->d);
    size_t numbers = 16 + CHUNK * job->read_stride + job->k * lanes;
    for (int i = 0; i < 4; i++) numbers += (all[i]->inner + CHUNK) * all[i]->stride;
    void *memory = calloc(numbers, sizeof(float));
    if (!memory) return NULL;
    job->read = (float *)(((uintptr_t)memory + 63) & ~(uintptr_t)63);
    float *next = job->read + CHUNK * job->read_stride;
    for (int i = 0; i < 4; i++)
        if (all[i]->columns) next = pack(all[i], lanes, lanes == 16 ? 64 : 16, next);
    job->cosines = next;
    return memory;
}

static PyObject *assign_rows(PyObject *self, PyObject *args) {
    PyObject *rows, *matrices, *radius, *columns;
    Py_ssize_t start;
    int lanes;
    Job job = {0};
    Arrays arrays = {.held = 0};
    (void)self;
    if (!PyArg_ParseTuple(args, "OO!OfnO!i", &rows, &PyTuple_Type, &matrices, &radius, &job.sharpness, &start, &PyTuple_Type,
                          &columns, &lanes))
        return NULL;
    Py_buffer *view = open_array(&arrays, rows, 0, "ef", 2);
    if (!view) goto end;
    job.rows = view->buf, job.half = view->itemsize == 2;
    job.n = (size_t)view->shape[0], job.d = (size_t)view->shape[1], job.start = (size_t)start;
    if (!processor_has(lanes)) {
        refuse("this processor has no vectors of that width");
    } else if (job.d < 1 || start < 0) {
        refuse("expected rows of at least one number, and a place of 0 or more");
    } else if (open_matrices(&arrays, matrices, &job) && open_columns(&arrays, columns, radius, &job)) {
        void *memory = prepare(&job, (size_t)lanes);
        if (!memory) {
            PyErr_NoMemory();
            goto end;
        }
        Py_BEGIN_ALLOW_THREADS
        assign(&job, lanes);
        Py_END_ALLOW_THREADS
        free(memory);
    }
end:
    while (arrays.held) PyBuffer_Release(&arrays.views[--arrays.held]);
    if (PyErr_Occurred()) return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"assign", assign_rows, METH_VARARGS,
     "assign(rows, matrices, radius, sharpness, start, columns, lanes): fill places start.. of the columns.\n\n"
     "rows: float16 or float32[n, d]. matrices: projection[d + 1, p], its last row times minus a row's length; w1[p + 1, h],\n"
     "its last row b1, and w2[h, p] where there is a refinement; centroids[p, k]. columns: hpc int16[3, m], confidence\n"
     "float32[3, m], distance float32[m], with radius float32[k] and sharpness 1 / temperature; or hpc int16[1, m] alone,\n"
     "which needs no centroids where the projection holds them, nor a radius (None)."},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_nearest", "Assignment in one pass.", -1, methods, NULL, NULL, NULL,
                                    NULL};

PyMODINIT_FUNC PyInit__nearest(void) {
    PyObject *made = PyModule_Create(&module), *lanes = NULL;
    if (made)
        lanes = processor_has(16) ? Py_BuildValue("(ii)", 16, 8) : processor_has(8) ? Py_BuildValue("(i)", 8) : PyTuple_New(0);
    if (!lanes || PyModule_AddObjectRef(made, "LANES", lanes) < 0) Py_CLEAR(made);
    Py_XDECREF(lanes);
    return made;
}
