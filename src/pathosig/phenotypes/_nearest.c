/* Two loops of assignment: float16 widened to float32, and the three largest of every column.
 *
 * Both are exact, so the results are those of the NumPy code in nearest.py. AVAILABLE says whether this processor has what
 * is needed (x86-64 with AVX2 and F16C).
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#if (defined(__x86_64__) && defined(__GNUC__))
#include <immintrin.h>
#define HAS_KERNEL 1
#define AVX2 __attribute__((target("avx2,f16c")))

AVX2 static void widen_all(const uint16_t *in, Py_ssize_t n, float *out) {
    Py_ssize_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(in + i))));
    for (; i < n; i++) out[i] = _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(in[i])));
}

typedef struct {
    __m256 value[3];
    __m256i row[3];
} Best;

/* v takes its place among the three and moves those behind it on; of equal values the earlier row stays first. */
AVX2 static inline __attribute__((always_inline)) void enter(Best *b, __m256 v, __m256i row) {
    __m256 first = _mm256_cmp_ps(v, b->value[0], _CMP_GT_OQ), second = _mm256_cmp_ps(v, b->value[1], _CMP_GT_OQ);
    __m256 third = _mm256_cmp_ps(v, b->value[2], _CMP_GT_OQ);
#define VALUE(place, here, before) \
    _mm256_blendv_ps(_mm256_blendv_ps(b->value[place], v, here), b->value[place - 1], before)
#define ROW(place, here, before) \
    _mm256_blendv_epi8(_mm256_blendv_epi8(b->row[place], row, _mm256_castps_si256(here)), b->row[place - 1], \
                       _mm256_castps_si256(before))
    b->value[2] = VALUE(2, third, second), b->row[2] = ROW(2, third, second);
    b->value[1] = VALUE(1, second, first), b->row[1] = ROW(1, second, first);
    b->value[0] = _mm256_blendv_ps(b->value[0], v, first);
    b->row[0] = _mm256_blendv_epi8(b->row[0], row, _mm256_castps_si256(first));
}

/* Columns from..from + 8 of [k, m] into values and rows, [3, m]. */
AVX2 static void best_of_eight(const float *in, Py_ssize_t k, Py_ssize_t m, Py_ssize_t from, float *values, int32_t *rows) {
    Best b;
    for (int place = 0; place < 3; place++) {
        b.value[place] = _mm256_set1_ps(-__builtin_inff());
        b.row[place] = _mm256_set1_epi32(-1);
    }
    for (Py_ssize_t r = 0; r < k; r++) enter(&b, _mm256_loadu_ps(in + r * m + from), _mm256_set1_epi32((int)r));
    for (int place = 0; place < 3; place++) {
        _mm256_storeu_ps(values + place * m + from, b.value[place]);
        _mm256_storeu_si256((__m256i *)(rows + place * m + from), b.row[place]);
    }
}

static void best_of_all(const float *in, Py_ssize_t k, Py_ssize_t m, float *values, int32_t *rows) {
    Py_ssize_t from = 0;
    for (; from + 8 <= m; from += 8) best_of_eight(in, k, m, from, values, rows);
    for (; from < m; from++) {
        for (int place = 0; place < 3; place++) values[place * m + from] = -__builtin_inff(), rows[place * m + from] = -1;
        for (Py_ssize_t r = 0; r < k; r++) {
            int place = 3;
            while (place && in[r * m + from] > values[(place - 1) * m + from]) place--;
            if (place == 3) continue;
            for (int on = 2; on > place; on--) {
                values[on * m + from] = values[(on - 1) * m + from];
                rows[on * m + from] = rows[(on - 1) * m + from];
            }
            values[place * m + from] = in[r * m + from], rows[place * m + from] = (int32_t)r;
        }
    }
}

static int processor_fits(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c"); }
#else
static void widen_all(const uint16_t *in, Py_ssize_t n, float *out) { (void)in, (void)n, (void)out; }
static void best_of_all(const float *in, Py_ssize_t k, Py_ssize_t m, float *values, int32_t *rows) {
    (void)in, (void)k, (void)m, (void)values, (void)rows;
}
static int processor_fits(void) { return 0; }
#endif

static int open_array(PyObject *object, Py_buffer *view, int writable, const char *format) {
    if (PyObject_GetBuffer(object, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0))) return 0;
    if (view->ndim == 2 && !strcmp(view->format, format)) return 1;
    PyBuffer_Release(view);
    PyErr_Format(PyExc_ValueError, "expected a contiguous array of two axes and format %s", format);
    return 0;
}

/* widen(float16[m, d], float32[m, d]) */
static PyObject *widen(PyObject *self, PyObject *args) {
    PyObject *source, *target;
    Py_buffer in, out;
    (void)self;
    if (!PyArg_ParseTuple(args, "OO", &source, &target) || !open_array(source, &in, 0, "e")) return NULL;
    if (!open_array(target, &out, 1, "f")) {
        PyBuffer_Release(&in);
        return NULL;
    }
    if (in.shape[0] != out.shape[0] || in.shape[1] != out.shape[1]) {
        PyErr_SetString(PyExc_ValueError, "both arrays must have one shape");
    } else {
        Py_BEGIN_ALLOW_THREADS
        widen_all(in.buf, in.shape[0] * in.shape[1], out.buf);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&out);
    PyBuffer_Release(&in);
    if (PyErr_Occurred()) return NULL;
    Py_RETURN_NONE;
}

/* best_three(float32[k, m], values float32[3, m], rows int32[3, m]) */
static PyObject *best_three(PyObject *self, PyObject *args) {
    PyObject *source, *first, *second;
    Py_buffer in, values, rows;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOO", &source, &first, &second) || !open_array(source, &in, 0, "f")) return NULL;
    if (!open_array(first, &values, 1, "f")) goto one;
    if (!open_array(second, &rows, 1, "i")) goto two;
    if (values.shape[0] != 3 || rows.shape[0] != 3 || values.shape[1] != in.shape[1] || rows.shape[1] != in.shape[1]) {
        PyErr_SetString(PyExc_ValueError, "values and rows must be [3, m]");
    } else {
        Py_BEGIN_ALLOW_THREADS
        best_of_all(in.buf, in.shape[0], in.shape[1], values.buf, rows.buf);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&rows);
two:
    PyBuffer_Release(&values);
one:
    PyBuffer_Release(&in);
    if (PyErr_Occurred()) return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"widen", widen, METH_VARARGS, "float16[m, d] into float32[m, d]."},
    {"best_three", best_three, METH_VARARGS, "The three largest of every column of [k, m], and their rows, best first."},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_nearest", "Loops of assignment.", -1, methods, NULL, NULL, NULL,
                                    NULL};

PyMODINIT_FUNC PyInit__nearest(void) {
    PyObject *made = PyModule_Create(&module);
    if (made && PyModule_AddObjectRef(made, "AVAILABLE", processor_fits() ? Py_True : Py_False) < 0) {
        Py_DECREF(made);
        return NULL;
    }
    return made;
}
