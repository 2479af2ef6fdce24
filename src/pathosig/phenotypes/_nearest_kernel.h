/* The kernel of assignment for one width of vectors; _nearest.c defines the words in capitals and includes it twice. */

/* Six rows of a[., inner] times `vectors` vectors of columns of b, which is packed: inner times vectors * LANES numbers.
 * Every sum is taken in the order of `inner`, so it does not depend on the rows beside it. */
ALWAYS void NAME(six_rows)(const float *a, size_t a_stride, size_t inner, const float *b, float *out, size_t out_stride,
                           const int vectors) {
    V sum[6][WIDE];
    for (int r = 0; r < 6; r++)
        for (int c = 0; c < vectors; c++) sum[r][c] = SET(0);
    for (size_t i = 0; i < inner; i++, b += vectors * LANES) {
        V right[WIDE];
        for (int c = 0; c < vectors; c++) right[c] = LOAD(b + c * LANES);
        for (int r = 0; r < 6; r++) {
            V left = SET(a[r * a_stride + i]);
            for (int c = 0; c < vectors; c++) sum[r][c] = FMA(left, right[c], sum[r][c]);
        }
    }
    for (int r = 0; r < 6; r++)
        for (int c = 0; c < vectors; c++) STORE(out + r * out_stride + c * LANES, sum[r][c]);
}

/* a[CHUNK, m->inner] times a packed matrix, into m->out[CHUNK, m->columns]; only the first `rows` are wanted. */
TARGET static void NAME(product)(const float *a, size_t a_stride, const Matrix *m, size_t rows) {
    const float *b = m->packed;
    for (size_t from = 0; from < m->columns; from += WIDE * LANES) {
        size_t vectors = (m->columns - from + LANES - 1) / LANES;
        if (vectors > WIDE) vectors = WIDE;
        for (size_t r = 0; r < rows; r += 6) {
            const float *left = a + r * a_stride;
            float *out = m->out + r * m->stride + from;
            switch (vectors) {
#if WIDE == 4
            case 4: NAME(six_rows)(left, a_stride, m->inner, b, out, m->stride, 4); break;
            case 3: NAME(six_rows)(left, a_stride, m->inner, b, out, m->stride, 3); break;
#endif
            case 2: NAME(six_rows)(left, a_stride, m->inner, b, out, m->stride, 2); break;
            default: NAME(six_rows)(left, a_stride, m->inner, b, out, m->stride, 1);
            }
        }
        b += m->inner * vectors * LANES;
    }
}

/* Rows as float32 into out; behind each, minus its length (at least 1e-12), by which the offset is multiplied. */
TARGET static void NAME(read)(const Job *job, size_t start, size_t rows, float *out, size_t stride) {
    size_t d = job->d, size = job->half ? 2 : 4;
    for (size_t r = 0; r < rows; r++, out += stride) {
        const char *in = job->rows + (start + r) * d * size;
        V squared = SET(0);
        for (size_t i = 0; i < d; i += LANES) {
            float rest[LANES] = {0};
            const char *here = in + i * size;
            if (i + LANES > d) here = memcpy(rest, here, (d - i) * size);
            V v = job->half ? WIDEN(here) : LOAD((const float *)here);
            STORE(out + i, v);
            squared = FMA(v, v, squared);
        }
        out[d] = -at_least(root(NAME(sum)(squared)), 1e-12f);
    }
}

/* Lengths of the rows of z[., p], whose columns beyond p are nought. */
TARGET static void NAME(lengths)(const float *z, size_t stride, size_t p, size_t rows, float *out) {
    for (size_t r = 0; r < rows; r++, z += stride) {
        V squared = SET(0);
        for (size_t i = 0; i < p; i += LANES) squared = FMA(LOAD(z + i), LOAD(z + i), squared);
        out[r] = root(NAME(sum)(squared));
    }
}

/* z = x + relu(x W1 + b) W2 with x = z of length 1; the caller divides by the length of what comes out. */
TARGET static void NAME(refine)(const Job *job, const Matrix *z, size_t rows) {
    const Matrix *hidden = &job->hidden, *moved = &job->moved;
    float length[CHUNK];
    NAME(lengths)(z->out, z->stride, z->columns, rows, length);
    for (size_t r = 0; r < rows; r++) {
        V factor = SET(1 / at_least(length[r], 1e-12f));
        for (float *at = z->out + r * z->stride, *end = at + z->columns; at < end; at += LANES)
            STORE(at, MULTIPLY(LOAD(at), factor));
        z->out[r * z->stride + z->columns] = 1; /* times b, the last row of W1 */
    }
    NAME(product)(z->out, z->stride, hidden, rows);
    for (float *at = hidden->out, *end = at + rows * hidden->stride; at < end; at += LANES) STORE(at, MAX(SET(0), LOAD(at)));
    NAME(product)(hidden->out, hidden->stride, moved, rows);
    for (size_t r = 0; r < rows; r++) {
        float *to = z->out + r * z->stride, *by = moved->out + r * moved->stride;
        to[z->columns] = 0;
        for (size_t i = 0; i < z->columns; i += LANES) STORE(to + i, ADD(LOAD(to + i), LOAD(by + i)));
    }
}

typedef struct {
    V value[3];
    VI index[3];
} NAME(Best);

/* v takes its place among the three and moves those behind it on; of equal values the earlier stays first, NaN never enters. */
ALWAYS void NAME(enter)(NAME(Best) *b, V v, VI index) {
    MASK first = GREATER(v, b->value[0]), second = GREATER(v, b->value[1]), third = GREATER(v, b->value[2]);
    b->value[2] = PICK(second, b->value[1], PICK(third, v, b->value[2]));
    b->index[2] = PICK_INDEX(second, b->index[1], PICK_INDEX(third, index, b->index[2]));
    b->value[1] = PICK(first, b->value[0], PICK(second, v, b->value[1]));
    b->index[1] = PICK_INDEX(first, b->index[0], PICK_INDEX(second, index, b->index[1]));
    b->value[0] = PICK(first, v, b->value[0]);
    b->index[0] = PICK_INDEX(first, index, b->index[0]);
}

/* exp(x), x <= 0 or NaN (Cephes' polynomial, about one unit in the last place). */
ALWAYS V NAME(exponential)(V x) {
    x = MAX(SET(-110.f), x);
    V n = ROUND(MULTIPLY(x, SET(1.44269504f)));
    V r = FMA(n, SET(2.12194440e-4f), FMA(n, SET(-.693359375f), x));
    V y = FMA(SET(1.9875691500e-4f), r, SET(1.3981999507e-3f));
    y = FMA(y, r, SET(8.3334519073e-3f));
    y = FMA(y, r, SET(4.1665795894e-2f));
    y = FMA(y, r, SET(1.6666665459e-1f));
    y = FMA(y, r, SET(5.0000001201e-1f));
    return TIMES_POWER_OF_TWO(ADD(FMA(y, MULTIPLY(r, r), r), SET(1)), n);
}

/* The three nearest of LANES rows of similarities and what they are worth, into out. */
TARGET static void NAME(decide)(const Job *job, const float *s, size_t stride, const float *length, Found *out) {
    size_t k = job->k;
    V scale = job->radius ? DIVIDE(SET(1), MAX(SET(1e-18f), LOAD(length))) : SET(1);
    NAME(Best) best;
    for (int place = 0; place < 3; place++) best.value[place] = SET(-__builtin_inff()), best.index[place] = SET_INDEX(-1);
    for (size_t from = 0; from < k; from += LANES) {
        V v[LANES];
        for (int r = 0; r < LANES; r++) v[r] = LOAD(s + r * stride + from);
        NAME(transpose)(v);
        for (size_t i = 0; i < LANES && from + i < k; i++) {
            V cosine = MULTIPLY(v[i], scale);
            STORE(job->cosines + (from + i) * LANES, cosine);
            NAME(enter)(&best, cosine, SET_INDEX((int)(from + i)));
        }
    }
    for (int place = 0; place < 3; place++) {
        STORE_INDEX(out->index[place], best.index[place]);
        STORE(out->cosine[place], best.value[place]);
    }
    if (!job->radius) return;
    V total = SET(0), sharpness = SET(job->sharpness);
    for (size_t i = 0; i < k; i++)
        total = ADD(total, NAME(exponential)(MULTIPLY(SUBTRACT(LOAD(job->cosines + i * LANES), best.value[0]), sharpness)));
    for (int place = 0; place < 3; place++) {
        V soft = NAME(exponential)(MULTIPLY(SUBTRACT(best.value[place], best.value[0]), sharpness));
        STORE(out->confidence[place], DIVIDE(soft, total));
    }
}

/* CHUNK rows after the other: read, project, refine, compare, decide. */
TARGET static void NAME(assign)(const Job *job) {
    const Matrix *z = &job->projected, *last = job->similarity.columns ? &job->similarity : z;
    float length[CHUNK] = {0};
    for (size_t start = 0; start < job->n; start += CHUNK) {
        size_t rows = job->n - start < CHUNK ? job->n - start : CHUNK;
        NAME(read)(job, start, rows, job->read, job->read_stride);
        NAME(product)(job->read, job->read_stride, z, rows);
        if (job->hidden.columns) NAME(refine)(job, z, rows);
        if (job->radius) NAME(lengths)(z->out, z->stride, z->columns, rows, length);
        if (last != z) NAME(product)(z->out, z->stride, last, rows);
        for (size_t r = 0; r < rows; r += LANES) {
            Found found;
            NAME(decide)(job, last->out + r * last->stride, last->stride, length + r, &found);
            size_t here = rows - r < LANES ? rows - r : LANES;
            if (job->radius) write_three(job, &found, start + r, here);
            else write_nearest(job, &found, last->out + r * last->stride, last->stride, start + r, here);
        }
    }
}
