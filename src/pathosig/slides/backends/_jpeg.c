/* Baseline JPEG at its own size or at half of it, to the very pixels libjpeg-turbo gives, 1.3 to 1.4 times as fast.
 *
 * decode(jpeg, out) fills out, uint8[h, w, 3] or uint8[h / 2, w / 2, 3], and returns True; it returns False, with out
 * in any state, for every file that it does not take or that is not whole: progressive, 12 bits, other sampling than
 * 4:4:4, 4:2:2 and 4:2:0, a bad code, too few or too many bytes. The caller then asks libjpeg, so
 * damage is judged in one place. AVAILABLE says whether this processor has what is needed (x86-64 with AVX2).
 *
 * Where the time is won: up to two values, and the end of a block, come from one look-up of eleven bits, in data from
 * which stuffed bytes were taken out before; which table comes next is computed, not branched on; tables are kept from
 * tile to tile; the inverse transforms leave out the coefficients that are zero.
 *
 * The transforms are jidctint.c and jidctred.c of the Independent JPEG Group in integers (Loeffler, Ligtenberg,
 * Moschytz 1989), eight lanes of 32 bits at a time; colour is made wider as in jdsample.c. Memory: every read of the
 * compressed data stays in a copy with PAD zero bytes behind its end, checked once an MCU (which takes less than PAD);
 * every write in planes of whole MCUs and, of whole rows, in out.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if (defined(__x86_64__) || defined(_M_X64))
#include <immintrin.h>
#define HAS_KERNEL 1
#if defined(_MSC_VER)
#include <intrin.h>
#define AVX2
#define ALIGNED __declspec(align(32))
#define LOCAL __declspec(thread)
#define INLINE static __forceinline
#else
#define AVX2 __attribute__((target("avx2,bmi,bmi2")))
#define ALIGNED __attribute__((aligned(32)))
#define LOCAL _Thread_local
#define INLINE static inline __attribute__((always_inline))
#endif

enum { LOOK = 11, PAD = 4096, MAX_SIDE = 4096, SLACK = 64, END = 128, TURN = 32 };

/* ---- what the header says ------------------------------------------------------------------------------------- */

typedef struct {
    /* of each LOOK bits: one value (16 high bits), steps to its place (8..15), bits taken (0..7); 0: see `symbol` */
    uint32_t one[1 << LOOK];
    /* the same for up to two values, or a value and the end of the block: see `pack` */
    uint64_t two[1 << LOOK];
    /* symbol << 8 | length of the code, 0 where the code is longer than LOOK */
    uint16_t symbol[1 << LOOK];
    int32_t last[18];  /* largest code of each length, left-aligned at 16 bits, plus one */
    int32_t shift[17]; /* index into symbols minus the code */
    uint8_t symbols[256];
    uint8_t made_of[17 + 256];
    int known;
} Huffman;

typedef struct {
    int width, height, h, v; /* luma sampling; chroma is 1 x 1 */
    int is_rgb, restart; /* MCUs between restart markers, 0 without */
    int quant_of[3], dc_of[3], ac_of[3];
    const uint8_t *scan, *end;
} Header;

typedef struct {
    Huffman dc[4], ac[4];
    int16_t quant[4][64]; /* in natural order */
    uint8_t have_dc[4], have_ac[4], have_quant[4];
} Work;

static LOCAL Work work;

/* Zigzag order; what lies beyond the 64th place goes to a 65th, where nobody looks. */
static const uint8_t PLACES[256] = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6,
    7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46,
    53, 60, 61, 54, 47, 55, 62, 63,
#define FOUR 64, 64, 64, 64
#define SIXTEEN FOUR, FOUR, FOUR, FOUR
    SIXTEEN, SIXTEEN, SIXTEEN, SIXTEEN, SIXTEEN, SIXTEEN, SIXTEEN, SIXTEEN, SIXTEEN, SIXTEEN, SIXTEEN, SIXTEEN};

/* What a look-up says: bits taken (0..7), steps to the place of the first (8..15) and of the second value (16..23),
 * TURN where the next table's turn comes (24..31), both values (32..47, 48..63). A lone value stands twice. */
static uint64_t pack(uint32_t first, uint32_t second, uint32_t end, uint32_t turn) {
    uint64_t step = first >> 8 & 255;
    if (!second) second = first & ~(uint32_t)0xFFFF;
    return ((first & 255) + (second & 255) + (end & 255)) | step << 8 | (step + (second >> 8 & 255)) << 16 |
           (uint64_t)turn << 24 | (uint64_t)(first >> 16) << 32 | (uint64_t)(second >> 16) << 48;
}

/* A table from the 16 counts and the symbols of a DHT segment; 0 if they are no prefix code. */
static int make_huffman(Huffman *t, const uint8_t *counts, int total, int is_ac) {
    if (t->known && !memcmp(t->made_of, counts, 16 + (size_t)total)) return 1;
    t->known = 0;
    memcpy(t->made_of, counts, 16 + (size_t)total);
    memset(t->symbols, 0, sizeof t->symbols);
    memcpy(t->symbols, counts + 16, (size_t)total);
    memset(t->symbol, 0, sizeof t->symbol);
    int32_t code = 0, at = 0;
    for (int length = 1; length <= 16; length++) {
        t->shift[length] = at - code;
        for (int i = 0; i < counts[length - 1]; i++, code++, at++) {
            if (code + 1 >= (1 << length) || (!is_ac && t->symbols[at] > 15)) return 0; /* all ones is no code */
            if (length > LOOK) continue;
            int first = code << (LOOK - length);
            for (int k = 0; k < (1 << (LOOK - length)); k++)
                t->symbol[first + k] = (uint16_t)(t->symbols[at] << 8 | length);
        }
        t->last[length] = code << (16 - length);
        code <<= 1;
    }
    t->last[17] = INT32_MAX;
    for (int peek = 0; peek < (1 << LOOK); peek++) {
        uint32_t length = t->symbol[peek] & 255, symbol = t->symbol[peek] >> 8, size = symbol & 15, run = symbol >> 4;
        t->one[peek] = 0;
        if (!length || !size || length + size > LOOK || (!is_ac && run)) continue;
        int bits = (peek >> (LOOK - length - size)) & ((1 << size) - 1);
        int value = bits < (1 << (size - 1)) ? bits - (1 << size) + 1 : bits;
        t->one[peek] = (uint32_t)value << 16 | (is_ac ? run + 1 : 0) << 8 | (length + size);
    }
    for (int peek = 0; peek < (1 << LOOK); peek++) {
        uint32_t first = t->one[peek], end = t->symbol[peek] < 256 ? t->symbol[peek] : 0;
        if (!is_ac) { /* always the first place, then it is the other coefficients' turn */
            t->two[peek] = first || end ? pack(first ? first : end, 0, 0, TURN) : 0;
            continue;
        }
        if (!first) { /* the end alone writes a zero where nobody looks */
            t->two[peek] = end ? pack(END << 8 | end, 0, 0, TURN) : 0;
            continue;
        }
        int room = LOOK - (int)(first & 255), rest = (peek << (first & 255)) & ((1 << LOOK) - 1);
        uint32_t second = (int)(t->one[rest] & 255) <= room ? t->one[rest] : 0;
        end = !second && t->symbol[rest] < 256 && t->symbol[rest] <= room ? t->symbol[rest] : 0;
        t->two[peek] = pack(first, second, end, end ? TURN : 0);
    }
    t->known = 1;
    return 1;
}

static int read_tables(Work *w, const uint8_t *p, const uint8_t *end, int marker) {
    if (marker == 0xDB) {
        while (p < end) {
            if (*p > 3 || end - p < 65 || !p[1]) return 0; /* 16-bit tables are libjpeg's */
            for (int i = 0; i < 64; i++) w->quant[*p][PLACES[i]] = p[1 + i];
            w->have_quant[*p] = 1;
            p += 65;
        }
        return 1;
    }
    while (p < end) {
        if (end - p < 17) return 0;
        int id = *p & 15, is_ac = *p >> 4, total = 0;
        if (id > 3 || is_ac > 1) return 0;
        for (int i = 0; i < 16; i++) total += p[1 + i];
        if (total > 256 || end - p < 17 + total) return 0;
        if (!make_huffman(is_ac ? &w->ac[id] : &w->dc[id], p + 1, total, is_ac)) return 0;
        (is_ac ? w->have_ac : w->have_dc)[id] = 1;
        p += 17 + total;
    }
    return 1;
}

/* Fill `out` from the markers before the scan; 0 for what is not taken. */
static int read_header(Work *w, Header *out, const uint8_t *p, const uint8_t *end) {
    int jfif = 0, adobe = -1, have_frame = 0;
    uint8_t ids[3] = {0}, sampling[3] = {0};
    memset(w->have_dc, 0, 4), memset(w->have_ac, 0, 4), memset(w->have_quant, 0, 4);
    if (end - p < 4 || p[0] != 0xFF || p[1] != 0xD8) return 0;
    p += 2;
    while (end - p >= 4) {
        int marker = p[1], length = p[2] << 8 | p[3];
        const uint8_t *body = p + 4, *stop = p + 2 + length;
        if (p[0] != 0xFF || length < 2 || stop > end) return 0;
        if (marker == 0xDB || marker == 0xC4) {
            if (!read_tables(w, body, stop, marker)) return 0;
        } else if (marker == 0xC0 || marker == 0xC1) {
            if (length != 17 || have_frame || body[0] != 8 || body[5] != 3) return 0;
            have_frame = 1;
            out->height = body[1] << 8 | body[2];
            out->width = body[3] << 8 | body[4];
            for (int i = 0; i < 3; i++) {
                ids[i] = body[6 + 3 * i], sampling[i] = body[7 + 3 * i];
                if ((out->quant_of[i] = body[8 + 3 * i]) > 3) return 0;
            }
        } else if (marker == 0xE0) {
            if (length >= 16 && !memcmp(body, "JFIF", 5)) {
                if (body[5] != 1) return 0; /* libjpeg warns of it */
                jfif = 1;
            }
        } else if (marker == 0xEE) {
            if (length >= 14 && !memcmp(body, "Adobe", 5)) adobe = body[11];
        } else if (marker == 0xDA) {
            if (!have_frame || length != 12 || body[0] != 3 || body[7] != 0 || body[8] != 63 || body[9] != 0) return 0;
            for (int i = 0; i < 3; i++) {
                out->dc_of[i] = body[2 + 2 * i] >> 4, out->ac_of[i] = body[2 + 2 * i] & 15;
                if (body[1 + 2 * i] != ids[i] || out->dc_of[i] > 3 || out->ac_of[i] > 3) return 0;
                if (!w->have_dc[out->dc_of[i]] || !w->have_ac[out->ac_of[i]] || !w->have_quant[out->quant_of[i]]) return 0;
            }
            out->scan = stop, out->end = end;
            break;
        } else if (marker == 0xDD) {
            if (length != 4) return 0;
            out->restart = body[0] << 8 | body[1];
        } else if ((marker & 0xF0) != 0xE0 && marker != 0xFE) {
            return 0; /* progressive and the rest */
        }
        p = stop;
    }
    if (!have_frame || !out->scan || adobe > 1) return 0;
    out->h = sampling[0] >> 4, out->v = sampling[0] & 15;
    if (sampling[1] != 0x11 || sampling[2] != 0x11 || out->h < 1 || out->h > 2 || out->v < 1 || out->v > out->h) return 0;
    if (out->width < 16 || out->height < 2 || out->width > MAX_SIDE || out->height > MAX_SIDE) return 0;
    out->is_rgb = !jfif && (adobe == 0 || (adobe < 0 && ids[0] == 'R' && ids[1] == 'G' && ids[2] == 'B'));
    return !(out->is_rgb && out->h != 1);
}

/* ---- bits ----------------------------------------------------------------------------------------------------- */

typedef struct {
    const uint8_t *p;
    uint64_t bits; /* the next ones, left-aligned */
    int count;
} Bits;

/* The scan without stuffed zeros and markers; `ends` gets where each of n parts between restart markers ends. 0 unless it
 * has just these, in turn, and then EOI. */
static int unstuffed(const uint8_t *p, const uint8_t *end, uint8_t *out, Py_ssize_t *ends, Py_ssize_t n) {
    uint8_t *start = out;
    Py_ssize_t part = 0;
    for (;;) {
        const uint8_t *ff = memchr(p, 0xFF, (size_t)(end - p));
        if (!ff || ff + 1 >= end) return 0;
        size_t length = (size_t)(ff - p);
        memcpy(out, p, length);
        out += length;
        p = ff + 2;
        if (!ff[1]) {
            *out++ = 0xFF;
            continue;
        }
        ends[part++] = out - start;
        if (part == n) return ff[1] == 0xD9;
        if (ff[1] != 0xD0 + ((part - 1) & 7)) return 0;
    }
}

INLINE uint64_t big_endian(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, 8);
#if defined(_MSC_VER)
    return _byteswap_uint64(v);
#else
    return __builtin_bswap64(v);
#endif
}

/* At least 56 bits afterwards. */
INLINE void refill(Bits *b) {
    b->bits |= big_endian(b->p) >> b->count;
    b->p += (63 - b->count) >> 3;
    b->count |= 56;
}

INLINE void drop(Bits *b, int n) {
    b->bits <<= n;
    b->count -= n;
}

/* The next symbol; -1 where there is no such code. Needs 16 bits. */
static int symbol_of(Bits *b, const Huffman *t) {
    uint32_t e = t->symbol[b->bits >> (64 - LOOK)];
    if (e) {
        drop(b, (int)(e & 255));
        return (int)(e >> 8);
    }
    int32_t peek = (int32_t)(b->bits >> 48);
    int length = LOOK + 1;
    while (length <= 16 && peek >= t->last[length]) length++;
    if (length > 16) return -1;
    int at = (peek >> (16 - length)) + t->shift[length];
    drop(b, length);
    return at < 0 || at > 255 ? -1 : t->symbols[at];
}

/* The value of `size` bits (1..15): its first bit is the sign. */
INLINE int value_of(Bits *b, int size) {
    int v = (int)(b->bits >> (64 - size));
    drop(b, size);
    return v < (1 << (size - 1)) ? v - (1 << size) + 1 : v;
}

/* A turn of a table: first the one of a block's first coefficient, then the one of the others. */
typedef struct {
    const uint64_t *two;
    int16_t *block;
    const Huffman *table;
    int is_ac;
} Slot;

_Static_assert(sizeof(Slot) == TURN, "a turn is a step to the next slot");

/* All blocks of an MCU into zeros, natural order, not dequantised, first coefficients as differences; 0 for damage.
 *
 * One loop for all blocks: which table comes next and where values go is computed, not branched on, because a
 * processor cannot foresee where a block ends. */
AVX2 static int read_mcu(Bits *bits, const Slot *slot, const Slot *last) {
    Bits b = *bits;
    const uint64_t *two = slot->two;
    uint32_t k = 0; /* the last place that is known */
    for (;;) {
        refill(&b);
        int tries = 4; /* look-ups that 56 bits are enough for */
        do {
            uint64_t pair = two[b.bits >> (64 - LOOK)];
            if (!pair) break;
            uint32_t to = k + (uint32_t)(pair >> 16 & 255), turn = (uint32_t)(pair >> 24 & 255);
            if (to - 63 < 65) { /* the last place needs no end: what follows is the next block's */
                if (k + (pair >> 8 & 255) == 63) pair = pack(slot->table->one[b.bits >> (64 - LOOK)], 0, 0, 0);
                else if (to > 63) return 0;
                to = 63, turn = TURN;
            }
            int16_t *block = slot->block;
            block[PLACES[(k + (uint32_t)(pair >> 8)) & 255]] = (int16_t)(pair >> 32);
            block[PLACES[to]] = (int16_t)(pair >> 48);
            drop(&b, (int)(pair & 63));
            two = turn ? slot[1].two : two;
            k = turn ? 0 : to;
            slot = (const Slot *)((const char *)slot + turn);
            if (slot == last) goto done;
        } while (--tries);
        if (!tries) continue;
        refill(&b);
        int symbol = symbol_of(&b, slot->table), size = symbol & 15;
        if (symbol < 0 || (!slot->is_ac && symbol > 11)) return 0;
        if (slot->is_ac) {
            if (!size && symbol && symbol != 0xF0) return 0;
            k = symbol ? k + (uint32_t)(symbol >> 4) + 1 : 63;
            if (k > 63) return 0;
        }
        if (size) slot->block[PLACES[k]] = (int16_t)value_of(&b, size);
        if (!slot->is_ac || k == 63) k = 0, slot++, two = slot->two;
        if (slot == last) break;
    }
done:
    *bits = b;
    return 1;
}

/* ---- inverse transforms --------------------------------------------------------------------------------------- */

/* A row of coefficients, dequantised. */
INLINE AVX2 __m256i row8(const int16_t *p, const int16_t *quant) {
    __m128i q = _mm_load_si128((const __m128i *)quant);
    return _mm256_cvtepi16_epi32(_mm_mullo_epi16(_mm_load_si128((const __m128i *)p), q));
}
INLINE AVX2 __m128i row4(const int16_t *p, const int16_t *quant) {
    __m128i q = _mm_loadl_epi64((const __m128i *)quant);
    return _mm_cvtepi16_epi32(_mm_mullo_epi16(_mm_loadl_epi64((const __m128i *)p), q));
}

INLINE AVX2 __m128i clamp4(__m128i v) {
    v = _mm_add_epi32(v, _mm_set1_epi32(128));
    return _mm_min_epi32(_mm_max_epi32(v, _mm_setzero_si128()), _mm_set1_epi32(255));
}
INLINE AVX2 __m256i clamp8(__m256i v) {
    v = _mm256_add_epi32(v, _mm256_set1_epi32(128));
    return _mm256_min_epi32(_mm256_max_epi32(v, _mm256_setzero_si256()), _mm256_set1_epi32(255));
}

INLINE AVX2 void put4(uint8_t *out, ptrdiff_t stride, __m128i rows) {
    for (int r = 0; r < 4; r++) {
        uint32_t v = (uint32_t)_mm_cvtsi128_si32(rows);
        memcpy(out + r * stride, &v, 4);
        rows = _mm_srli_si128(rows, 4);
    }
}

#define MUL8(a, c) _mm256_mullo_epi32(a, _mm256_set1_epi32(c))
#define ADD8 _mm256_add_epi32
#define SUB8 _mm256_sub_epi32
#define MUL4(a, c) _mm_mullo_epi32(a, _mm_set1_epi32(c))
#define ADD4 _mm_add_epi32
#define SUB4 _mm_sub_epi32

/* Columns 0..3 of four lanes each, second pass of jidctred's 4 x 4; x4 holds nothing that is used. */
INLINE AVX2 void finish4(uint8_t *out, ptrdiff_t stride, __m128i even, __m128i tmp2e, __m128i odd0, __m128i odd2) {
    const __m128i half = _mm_set1_epi32(1 << 18);
    __m128i tmp0 = ADD4(_mm_slli_epi32(even, 14), half);
    __m128i tmp10 = ADD4(tmp0, tmp2e), tmp12 = SUB4(tmp0, tmp2e);
    __m128i o0 = clamp4(_mm_srai_epi32(ADD4(tmp10, odd2), 19)), o3 = clamp4(_mm_srai_epi32(SUB4(tmp10, odd2), 19));
    __m128i o1 = clamp4(_mm_srai_epi32(ADD4(tmp12, odd0), 19)), o2 = clamp4(_mm_srai_epi32(SUB4(tmp12, odd0), 19));
    __m128i low = _mm_or_si128(o0, _mm_slli_epi32(o1, 8));
    __m128i high = _mm_or_si128(_mm_slli_epi32(o2, 16), _mm_slli_epi32(o3, 24));
    put4(out, stride, _mm_or_si128(low, high));
}

/* 4 x 4 pixels from any coefficients. */
INLINE AVX2 void idct4(const int16_t *in, const int16_t *q, uint8_t *out, ptrdiff_t stride) {
    const __m256i half = _mm256_set1_epi32(1 << 11);
    __m256i r1 = row8(in + 8, q + 8), r2 = row8(in + 16, q + 16), r3 = row8(in + 24, q + 24);
    __m256i r5 = row8(in + 40, q + 40), r6 = row8(in + 48, q + 48), r7 = row8(in + 56, q + 56);
    __m256i tmp0 = ADD8(_mm256_slli_epi32(row8(in, q), 14), half);
    __m256i tmp2 = ADD8(MUL8(r2, 15137), MUL8(r6, -6270));
    __m256i tmp10 = ADD8(tmp0, tmp2), tmp12 = SUB8(tmp0, tmp2);
    __m256i odd0 = ADD8(ADD8(MUL8(r7, -1730), MUL8(r5, 11893)), ADD8(MUL8(r3, -17799), MUL8(r1, 8697)));
    __m256i odd2 = ADD8(ADD8(MUL8(r7, -4176), MUL8(r5, -4926)), ADD8(MUL8(r3, 7373), MUL8(r1, 20995)));
    __m256i w0 = _mm256_srai_epi32(ADD8(tmp10, odd2), 12), w3 = _mm256_srai_epi32(SUB8(tmp10, odd2), 12);
    __m256i w1 = _mm256_srai_epi32(ADD8(tmp12, odd0), 12), w2 = _mm256_srai_epi32(SUB8(tmp12, odd0), 12);
    /* columns: (0 | 4), (1 | 5), (2 | 6), (3 | 7), each of four rows */
    __m256i a = _mm256_unpacklo_epi32(w0, w1), b = _mm256_unpacklo_epi32(w2, w3);
    __m256i c = _mm256_unpackhi_epi32(w0, w1), d = _mm256_unpackhi_epi32(w2, w3);
    __m256i c04 = _mm256_unpacklo_epi64(a, b), c15 = _mm256_unpackhi_epi64(a, b);
    __m256i c26 = _mm256_unpacklo_epi64(c, d), c37 = _mm256_unpackhi_epi64(c, d);
#define PAIR(lo, hi) _mm256_setr_epi32(lo, lo, lo, lo, hi, hi, hi, hi)
#define BOTH(v) ADD4(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1))
    __m256i even = _mm256_mullo_epi32(c26, PAIR(15137, -6270));
    __m256i p0 = ADD8(_mm256_mullo_epi32(c37, PAIR(-17799, -1730)), _mm256_mullo_epi32(c15, PAIR(8697, 11893)));
    __m256i p2 = ADD8(_mm256_mullo_epi32(c37, PAIR(7373, -4176)), _mm256_mullo_epi32(c15, PAIR(20995, -4926)));
    finish4(out, stride, _mm256_castsi256_si128(c04), BOTH(even), BOTH(p0), BOTH(p2));
}

/* 4 x 4 pixels where only rows and columns 0..3 have coefficients. */
INLINE AVX2 void idct4_low(const int16_t *in, const int16_t *q, uint8_t *out, ptrdiff_t stride) {
    const __m128i half = _mm_set1_epi32(1 << 11);
    __m128i r1 = row4(in + 8, q + 8), r2 = row4(in + 16, q + 16), r3 = row4(in + 24, q + 24);
    __m128i tmp0 = ADD4(_mm_slli_epi32(row4(in, q), 14), half), tmp2 = MUL4(r2, 15137);
    __m128i tmp10 = ADD4(tmp0, tmp2), tmp12 = SUB4(tmp0, tmp2);
    __m128i odd0 = ADD4(MUL4(r3, -17799), MUL4(r1, 8697)), odd2 = ADD4(MUL4(r3, 7373), MUL4(r1, 20995));
    __m128i w0 = _mm_srai_epi32(ADD4(tmp10, odd2), 12), w3 = _mm_srai_epi32(SUB4(tmp10, odd2), 12);
    __m128i w1 = _mm_srai_epi32(ADD4(tmp12, odd0), 12), w2 = _mm_srai_epi32(SUB4(tmp12, odd0), 12);
    __m128i a = _mm_unpacklo_epi32(w0, w1), b = _mm_unpacklo_epi32(w2, w3);
    __m128i c = _mm_unpackhi_epi32(w0, w1), d = _mm_unpackhi_epi32(w2, w3);
    __m128i c0 = _mm_unpacklo_epi64(a, b), c1 = _mm_unpackhi_epi64(a, b);
    __m128i c2 = _mm_unpacklo_epi64(c, d), c3 = _mm_unpackhi_epi64(c, d);
    finish4(out, stride, c0, MUL4(c2, 15137), ADD4(MUL4(c3, -17799), MUL4(c1, 8697)),
            ADD4(MUL4(c3, 7373), MUL4(c1, 20995)));
}

/* One pass of jidctint's 8 x 8 over eight lanes, not yet descaled; rounding is added to rows 0 and 4. */
INLINE AVX2 void pass8(__m256i r[8], int rounding, int low) {
    __m256i half = _mm256_set1_epi32(rounding), tmp0, tmp1, tmp2, tmp3, s0, s1;
    if (low) {
        tmp2 = MUL8(r[2], 4433), tmp3 = MUL8(r[2], 4433 + 6270);
        s0 = s1 = ADD8(_mm256_slli_epi32(r[0], 13), half);
    } else {
        __m256i z1 = MUL8(ADD8(r[2], r[6]), 4433);
        tmp2 = ADD8(z1, MUL8(r[6], -15137)), tmp3 = ADD8(z1, MUL8(r[2], 6270));
        s0 = ADD8(_mm256_slli_epi32(ADD8(r[0], r[4]), 13), half);
        s1 = ADD8(_mm256_slli_epi32(SUB8(r[0], r[4]), 13), half);
    }
    __m256i tmp10 = ADD8(s0, tmp3), tmp13 = SUB8(s0, tmp3), tmp11 = ADD8(s1, tmp2), tmp12 = SUB8(s1, tmp2);
    if (low) { /* r[7] = r[5] = 0 */
        tmp0 = ADD8(MUL8(r[1], 9633 - 7373), MUL8(r[3], 9633 - 16069));
        tmp1 = ADD8(MUL8(r[1], 9633 - 3196), MUL8(r[3], 9633 - 20995));
        tmp2 = ADD8(MUL8(r[1], 9633), MUL8(r[3], 25172 - 20995 - 16069 + 9633));
        tmp3 = ADD8(MUL8(r[1], 12299 - 7373 - 3196 + 9633), MUL8(r[3], 9633));
    } else {
        __m256i z1 = MUL8(ADD8(r[7], r[1]), -7373), z2 = MUL8(ADD8(r[5], r[3]), -20995);
        __m256i z3 = ADD8(r[7], r[3]), z4 = ADD8(r[5], r[1]);
        __m256i z5 = MUL8(ADD8(z3, z4), 9633);
        z3 = ADD8(MUL8(z3, -16069), z5), z4 = ADD8(MUL8(z4, -3196), z5);
        tmp0 = ADD8(MUL8(r[7], 2446), ADD8(z1, z3)), tmp1 = ADD8(MUL8(r[5], 16819), ADD8(z2, z4));
        tmp2 = ADD8(MUL8(r[3], 25172), ADD8(z2, z3)), tmp3 = ADD8(MUL8(r[1], 12299), ADD8(z1, z4));
    }
    r[0] = ADD8(tmp10, tmp3), r[7] = SUB8(tmp10, tmp3), r[1] = ADD8(tmp11, tmp2), r[6] = SUB8(tmp11, tmp2);
    r[2] = ADD8(tmp12, tmp1), r[5] = SUB8(tmp12, tmp1), r[3] = ADD8(tmp13, tmp0), r[4] = SUB8(tmp13, tmp0);
}

INLINE AVX2 void transpose8(__m256i r[8]) {
    __m256i t[8], u[8];
    for (int i = 0; i < 4; i++) {
        t[2 * i] = _mm256_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        u[4 * i] = _mm256_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
        u[4 * i + 1] = _mm256_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
        u[4 * i + 2] = _mm256_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
        u[4 * i + 3] = _mm256_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        r[i] = _mm256_permute2x128_si256(u[i], u[4 + i], 0x20);
        r[4 + i] = _mm256_permute2x128_si256(u[i], u[4 + i], 0x31);
    }
}

/* 8 x 8 pixels; `low`: only rows and columns 0..3 have coefficients. */
INLINE AVX2 void idct8(const int16_t *in, const int16_t *q, uint8_t *out, ptrdiff_t stride, int low) {
    __m256i r[8];
    for (int i = 0; i < 8; i++) r[i] = low && i > 3 ? _mm256_setzero_si256() : row8(in + 8 * i, q + 8 * i);
    pass8(r, 1 << 10, low);
    for (int i = 0; i < 8; i++) r[i] = _mm256_srai_epi32(r[i], 11);
    transpose8(r);
    pass8(r, 1 << 17, low);
    for (int i = 0; i < 8; i++) r[i] = clamp8(_mm256_srai_epi32(r[i], 18));
    __m256i words[2];
    for (int i = 0; i < 2; i++)
        words[i] = _mm256_or_si256(
            _mm256_or_si256(r[4 * i], _mm256_slli_epi32(r[4 * i + 1], 8)),
            _mm256_or_si256(_mm256_slli_epi32(r[4 * i + 2], 16), _mm256_slli_epi32(r[4 * i + 3], 24)));
    for (int i = 0; i < 2; i++) {
        put4(out + 4 * i, stride, _mm256_castsi256_si128(words[i]));
        put4(out + 4 * i + 4 * stride, stride, _mm256_extracti128_si256(words[i], 1));
    }
}

INLINE AVX2 void flat(int dc, uint8_t *out, ptrdiff_t stride, int side) {
    /* what both passes give for a lone first coefficient */
    int v = ((dc + 4) >> 3) + 128;
    v = v < 0 ? 0 : v > 255 ? 255 : v;
    uint64_t eight = 0x0101010101010101ULL * (uint64_t)v;
    for (int r = 0; r < side; r++) memcpy(out + r * stride, &eight, (size_t)side);
}

/* Pixels of a block, which is all zeros afterwards. */
INLINE AVX2 void pixels_of(int16_t *block, const int16_t *quant, uint8_t *out, ptrdiff_t stride, int side) {
    __m128i *rows = (__m128i *)block;
    __m128i above = _mm_or_si128(_mm_or_si128(rows[0], rows[1]), _mm_or_si128(rows[2], rows[3]));
    __m128i below = _mm_or_si128(_mm_or_si128(rows[4], rows[5]), _mm_or_si128(rows[6], rows[7]));
    __m128i right = _mm_or_si128(below, _mm_srli_si128(above, 8)); /* beyond rows and columns 0..3 */
    if (!_mm_testz_si128(right, right)) {
        if (side == 4) idct4(block, quant, out, stride);
        else idct8(block, quant, out, stride, 0);
        for (int i = 0; i < 8; i++) rows[i] = _mm_setzero_si128();
        return;
    }
    __m128i rest = _mm_or_si128(_mm_or_si128(rows[1], rows[2]), _mm_or_si128(rows[3], _mm_srli_si128(rows[0], 2)));
    if (_mm_testz_si128(rest, rest)) flat((int16_t)(block[0] * quant[0]), out, stride, side);
    else if (side == 4) idct4_low(block, quant, out, stride);
    else idct8(block, quant, out, stride, 1);
    for (int i = 0; i < 4; i++) rows[i] = _mm_setzero_si128();
}

/* ---- colour --------------------------------------------------------------------------------------------------- */

/* 16 pixels: planes of bytes to RGBRGB.. */
INLINE AVX2 void interleave(__m128i r, __m128i g, __m128i b, uint8_t *out) {
#define N -1
    const __m128i r0 = _mm_setr_epi8(0, N, N, 1, N, N, 2, N, N, 3, N, N, 4, N, N, 5);
    const __m128i g0 = _mm_setr_epi8(N, 0, N, N, 1, N, N, 2, N, N, 3, N, N, 4, N, N);
    const __m128i b0 = _mm_setr_epi8(N, N, 0, N, N, 1, N, N, 2, N, N, 3, N, N, 4, N);
    const __m128i r1 = _mm_setr_epi8(N, N, 6, N, N, 7, N, N, 8, N, N, 9, N, N, 10, N);
    const __m128i g1 = _mm_setr_epi8(5, N, N, 6, N, N, 7, N, N, 8, N, N, 9, N, N, 10);
    const __m128i b1 = _mm_setr_epi8(N, 5, N, N, 6, N, N, 7, N, N, 8, N, N, 9, N, N);
    const __m128i r2 = _mm_setr_epi8(N, 11, N, N, 12, N, N, 13, N, N, 14, N, N, 15, N, N);
    const __m128i g2 = _mm_setr_epi8(N, N, 11, N, N, 12, N, N, 13, N, N, 14, N, N, 15, N);
    const __m128i b2 = _mm_setr_epi8(10, N, N, 11, N, N, 12, N, N, 13, N, N, 14, N, N, 15);
#undef N
#define MIX(i) _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(r, r##i), _mm_shuffle_epi8(g, g##i)), _mm_shuffle_epi8(b, b##i))
    _mm_storeu_si128((__m128i *)out, MIX(0));
    _mm_storeu_si128((__m128i *)(out + 16), MIX(1));
    _mm_storeu_si128((__m128i *)(out + 32), MIX(2));
}

/* Eight of (a | b): y plus ((cr * x + cb * y + half) >> 16), as words. */
INLINE AVX2 __m256i term(__m256i cb, __m256i cr, int of_cb, int of_cr) {
    __m256i sum = _mm256_set1_epi32(1 << 15);
    if (of_cb) sum = ADD8(sum, MUL8(cb, of_cb));
    if (of_cr) sum = ADD8(sum, MUL8(cr, of_cr));
    return _mm256_srai_epi32(sum, 16);
}

INLINE AVX2 __m128i bytes16(__m256i a, __m256i b) {
    __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xD8);
    return _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

/* A row; planes may be read and `row` written up to 16 pixels on, which the caller has room for. */
INLINE AVX2 void colour_row(const uint8_t *y, const uint8_t *cb, const uint8_t *cr, int width, int is_rgb, uint8_t *row) {
    const __m256i middle = _mm256_set1_epi32(128);
    for (int x = 0; x < width; x += 16) {
        __m128i r, g, b;
        if (is_rgb) {
            r = _mm_loadu_si128((const __m128i *)(y + x)), g = _mm_loadu_si128((const __m128i *)(cb + x));
            b = _mm_loadu_si128((const __m128i *)(cr + x));
        } else {
            __m256i red[2], green[2], blue[2];
            for (int i = 0; i < 2; i++) {
                __m256i yy = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(y + x + 8 * i)));
                __m256i u = SUB8(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(cb + x + 8 * i))), middle);
                __m256i v = SUB8(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(cr + x + 8 * i))), middle);
                red[i] = ADD8(yy, term(u, v, 0, 91881));
                green[i] = ADD8(yy, term(u, v, -22554, -46802));
                blue[i] = ADD8(yy, term(u, v, 116130, 0));
            }
            r = bytes16(red[0], red[1]), g = bytes16(green[0], green[1]), b = bytes16(blue[0], blue[1]);
        }
        if (x + 16 <= width) {
            interleave(r, g, b, row + 3 * x);
        } else {
            uint8_t rest[48];
            interleave(r, g, b, rest);
            memcpy(row + 3 * x, rest, (size_t)(3 * (width - x)));
        }
    }
}

/* Twice as many columns of n: three quarters of the nearer, one of the further. `sums` are up to 4 times the values. */
INLINE AVX2 void wider(uint16_t *sums, int n, int shift, uint8_t *out) {
    const uint16_t first = shift == 2 ? 1 : 8, second = shift == 2 ? 2 : 7;
    sums[-1] = sums[0], sums[n] = sums[n - 1];
    for (int i = 0; i < n; i++) {
        uint16_t left = (uint16_t)((3 * sums[i] + sums[i - 1] + first) >> shift);
        uint16_t right = (uint16_t)((3 * sums[i] + sums[i + 1] + second) >> shift);
        uint16_t both = (uint16_t)(left | right << 8);
        memcpy(out + 2 * i, &both, 2);
    }
}

/* A row of colour twice as wide (jdsample.c, h2v1), or from two rows, the nearer first (h2v2). */
AVX2 static void wider_row(const uint8_t *in, int n, uint8_t *out) {
    uint16_t room[MAX_SIDE / 2 + 34], *sums = room + 16;
    for (int i = 0; i < n; i++) sums[i] = in[i];
    wider(sums, n, 2, out);
}
AVX2 static void wider_of_two(const uint8_t *near, const uint8_t *far, int n, uint8_t *out) {
    uint16_t room[MAX_SIDE / 2 + 34], *sums = room + 16;
    for (int i = 0; i < n; i++) sums[i] = (uint16_t)(3 * near[i] + far[i]);
    wider(sums, n, 4, out);
}

/* ---- the whole ------------------------------------------------------------------------------------------------ */

/* What is decoded to which size: pixels of a luma and of a colour block, how much wider and higher colour becomes. */
typedef struct {
    int width, height, luma, colour, wider, higher;
    ptrdiff_t stride[3];
    uint8_t *plane[3];
} Shape;

/* Whether all bits of a part were read, and no more: else libjpeg has something to say about them. */
INLINE int at_end(const Bits *b, const uint8_t *end) {
    Py_ssize_t left = 8 * (end - b->p) + b->count;
    return left >= 0 && left < 8;
}

/* The blocks of a scan, in parts between restart markers, into planes; 0 for damage. */
AVX2 static int decode_scan(const Work *w, const Header *head, const Shape *shape, const uint8_t *data, const Py_ssize_t *ends) {
    const int h = head->h, v = head->v, luma = h * v, blocks = luma + 2;
    const int across = (head->width + 8 * h - 1) / (8 * h), down = (head->height + 8 * v - 1) / (8 * v);
    const uint8_t *end = data + *ends;
    Bits b = {data, 0, 0};
    int left = head->restart;
    ALIGNED int16_t values[6][80];
    Slot slots[13];
    memset(values, 0, sizeof values);
    memset(slots, 0, sizeof slots);
    for (int i = 0; i < 2 * blocks; i++) {
        int c = i / 2 < luma ? 0 : i / 2 - luma + 1;
        const Huffman *table = i & 1 ? &w->ac[head->ac_of[c]] : &w->dc[head->dc_of[c]];
        slots[i] = (Slot){table->two, values[i / 2], table, i & 1};
    }
    int before[3] = {0, 0, 0};
    for (int my = 0; my < down; my++) {
        for (int mx = 0; mx < across; mx++) {
            if (head->restart && !left--) {
                if (!at_end(&b, end)) return 0;
                b = (Bits){end, 0, 0};
                end = data + *++ends;
                before[0] = before[1] = before[2] = 0;
                left = head->restart - 1;
            }
            if (b.p > end + 16 || !read_mcu(&b, slots, slots + 2 * blocks)) return 0;
            for (int i = 0; i < blocks; i++) {
                int c = i < luma ? 0 : i - luma + 1, side = c ? shape->colour : shape->luma;
                int row = c ? my : my * v + i / h, column = c ? mx : mx * h + i % h;
                const int16_t *quant = w->quant[head->quant_of[c]];
                before[c] += values[i][0];
                if (abs(before[c]) > 16384 / quant[0]) return 0; /* no pixels have such a mean: damage */
                values[i][0] = (int16_t)before[c];
                ptrdiff_t stride = shape->stride[c];
                pixels_of(values[i], quant, shape->plane[c] + row * side * stride + column * side, stride, side);
            }
        }
    }
    return at_end(&b, end);
}

AVX2 static void colour_all(const Header *head, const Shape *shape, uint8_t *out) {
    uint8_t up[2][MAX_SIDE + SLACK];
    const int n = (shape->width + shape->wider - 1) / shape->wider;
    const int rows = (shape->height + shape->higher - 1) / shape->higher;
    for (int r = 0; r < shape->height; r++) {
        const uint8_t *colour[2];
        for (int c = 0; c < 2; c++) {
            const uint8_t *plane = shape->plane[c + 1];
            ptrdiff_t stride = shape->stride[c + 1];
            int near = r / shape->higher, far = r & 1 ? near + 1 : near - 1;
            colour[c] = plane + near * stride;
            if (shape->wider == 1) continue;
            far = far < 0 ? 0 : far >= rows ? rows - 1 : far;
            if (shape->higher == 2) wider_of_two(colour[c], plane + far * stride, n, up[c]);
            else wider_row(colour[c], n, up[c]);
            colour[c] = up[c];
        }
        const uint8_t *y = shape->plane[0] + r * shape->stride[0];
        colour_row(y, colour[0], colour[1], shape->width, head->is_rgb, out + (ptrdiff_t)r * shape->width * 3);
    }
}

static int decode_to(const uint8_t *jpeg, Py_ssize_t n, uint8_t *out, Py_ssize_t rows, Py_ssize_t columns) {
    Header head;
    Shape shape;
    memset(&head, 0, sizeof head);
    if (!read_header(&work, &head, jpeg, jpeg + n)) return 0;
    const int half = head.height == 2 * rows && head.width == 2 * columns;
    if (!half && (head.height != rows || head.width != columns)) return 0;
    const int both = head.h == 2 && head.v == 2;
    shape.width = (int)columns, shape.height = (int)rows;
    shape.luma = half ? 4 : 8, shape.colour = half && !both ? 4 : 8;
    shape.wider = half && both ? 1 : head.h, shape.higher = half && both ? 1 : head.v;
    const size_t across = (size_t)(head.width + 8 * head.h - 1) / (size_t)(8 * head.h);
    const size_t down = (size_t)(head.height + 8 * head.v - 1) / (size_t)(8 * head.v);
    size_t sizes[3];
    for (int c = 0; c < 3; c++) {
        size_t side = (size_t)(c ? shape.colour : shape.luma);
        size_t stride = across * side * (c ? 1 : (size_t)head.h) + SLACK;
        shape.stride[c] = (ptrdiff_t)stride;
        sizes[c] = stride * down * side * (c ? 1 : (size_t)head.v);
    }
    const size_t parts = head.restart ? (across * down + (size_t)head.restart - 1) / (size_t)head.restart : 1;
    const size_t compressed = (size_t)(head.end - head.scan) + PAD;
    Py_ssize_t *ends = malloc(parts * sizeof *ends + sizes[0] + sizes[1] + sizes[2] + compressed);
    if (!ends) return 0;
    uint8_t *room = (uint8_t *)(ends + parts);
    shape.plane[0] = room, shape.plane[1] = room + sizes[0], shape.plane[2] = shape.plane[1] + sizes[1];
    uint8_t *data = shape.plane[2] + sizes[2];
    int done = unstuffed(head.scan, head.end, data, ends, (Py_ssize_t)parts);
    if (done) {
        memset(data + ends[parts - 1], 0, PAD);
        done = decode_scan(&work, &head, &shape, data, ends);
        if (done) colour_all(&head, &shape, out);
    }
    free(ends);
    return done;
}

static int processor_fits(void) {
#if defined(_MSC_VER)
    int r[4];
    __cpuid(r, 0);
    if (r[0] < 7) return 0;
    __cpuid(r, 1);
    if (!(r[2] & (1 << 27)) || (_xgetbv(0) & 6) != 6) return 0;
    __cpuidex(r, 7, 0);
    return (r[1] & (1 << 5)) && (r[1] & (1 << 8));
#else
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2");
#endif
}
#else
static int processor_fits(void) { return 0; }
static int decode_to(const uint8_t *jpeg, Py_ssize_t n, uint8_t *out, Py_ssize_t rows, Py_ssize_t columns) {
    (void)jpeg, (void)n, (void)out, (void)rows, (void)columns;
    return 0;
}
#endif

static int available;

static PyObject *decode(PyObject *self, PyObject *args) {
    Py_buffer jpeg, out;
    PyObject *target;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*O", &jpeg, &target)) return NULL;
    if (PyObject_GetBuffer(target, &out, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)) {
        PyBuffer_Release(&jpeg);
        return NULL;
    }
    int done = 0;
    if (out.ndim != 3 || out.shape[2] != 3 || out.itemsize != 1) {
        PyErr_SetString(PyExc_ValueError, "out must be uint8[h, w, 3]");
    } else if (available) {
        Py_BEGIN_ALLOW_THREADS
        done = decode_to(jpeg.buf, jpeg.len, out.buf, out.shape[0], out.shape[1]);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&out);
    PyBuffer_Release(&jpeg);
    return PyErr_Occurred() ? NULL : PyBool_FromLong(done);
}

static PyMethodDef methods[] = {
    {"decode", decode, METH_VARARGS, "decode(jpeg, out) -> bool: fill out, uint8[h, w, 3] or uint8[h / 2, w / 2, 3], or say False."},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_jpeg", "Baseline JPEG at its own or half its size.", -1, methods,
                                    NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__jpeg(void) {
    PyObject *made = PyModule_Create(&module);
    available = processor_fits();
    if (made && PyModule_AddObjectRef(made, "AVAILABLE", available ? Py_True : Py_False) < 0) {
        Py_DECREF(made);
        return NULL;
    }
    return made;
}
