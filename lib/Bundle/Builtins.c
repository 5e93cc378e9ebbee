// Functions that LLVM may call without being asked: every image carries those it uses. Freestanding; compiled to
// bitcode when the compiler is built, then to machine code for the image's target.
//
// No loop here may be turned into a call of the function that it implements: built with -fno-builtin.
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef __SIZE_TYPE__ size;
typedef u64 u64_any __attribute__((aligned(1), may_alias));
typedef u32 u32_any __attribute__((aligned(1), may_alias));
typedef u16 u16_any __attribute__((aligned(1), may_alias));
typedef u8 vec __attribute__((vector_size(32), aligned(1), may_alias));
#define HIDDEN __attribute__((visibility("hidden")))

//===-- memory ------------------------------------------------------------===//

// Loads all before it stores any, so that it serves overlapping ranges too.
static inline __attribute__((always_inline)) void moveUpTo64(u8 *to, const u8 *from, size n) {
  if (n >= 32) {
    vec a = *(const vec *)from, b = *(const vec *)(from + n - 32);
    *(vec *)to = a;
    *(vec *)(to + n - 32) = b;
  } else if (n >= 16) {
    u64 a = *(const u64_any *)from, b = *(const u64_any *)(from + 8);
    u64 c = *(const u64_any *)(from + n - 16), d = *(const u64_any *)(from + n - 8);
    *(u64_any *)to = a;
    *(u64_any *)(to + 8) = b;
    *(u64_any *)(to + n - 16) = c;
    *(u64_any *)(to + n - 8) = d;
  } else if (n >= 8) {
    u64 a = *(const u64_any *)from, b = *(const u64_any *)(from + n - 8);
    *(u64_any *)to = a;
    *(u64_any *)(to + n - 8) = b;
  } else if (n >= 4) {
    u32 a = *(const u32_any *)from, b = *(const u32_any *)(from + n - 4);
    *(u32_any *)to = a;
    *(u32_any *)(to + n - 4) = b;
  } else if (n >= 2) {
    u16 a = *(const u16_any *)from, b = *(const u16_any *)(from + n - 2);
    *(u16_any *)to = a;
    *(u16_any *)(to + n - 2) = b;
  } else if (n) {
    *to = *from;
  }
}

HIDDEN void *memcpy(void *restrict toAny, const void *restrict fromAny, size n) {
  u8 *to = toAny;
  const u8 *from = fromAny;
  if (n <= 64) {
    moveUpTo64(to, from, n);
    return toAny;
  }
  size i = 0;
  for (; i + 128 <= n; i += 128) {
    vec a = *(const vec *)(from + i), b = *(const vec *)(from + i + 32);
    vec c = *(const vec *)(from + i + 64), d = *(const vec *)(from + i + 96);
    *(vec *)(to + i) = a;
    *(vec *)(to + i + 32) = b;
    *(vec *)(to + i + 64) = c;
    *(vec *)(to + i + 96) = d;
  }
  for (; i + 32 <= n; i += 32)
    *(vec *)(to + i) = *(const vec *)(from + i);
  *(vec *)(to + n - 32) = *(const vec *)(from + n - 32);
  return toAny;
}

HIDDEN void *memmove(void *toAny, const void *fromAny, size n) {
  u8 *to = toAny;
  const u8 *from = fromAny;
  if (n <= 64) {
    moveUpTo64(to, from, n);
  } else if ((size)(to - from) >= n) { // to before from, or no overlap: upwards
    vec last = *(const vec *)(from + n - 32);
    for (size i = 0; i + 32 < n; i += 32)
      *(vec *)(to + i) = *(const vec *)(from + i);
    *(vec *)(to + n - 32) = last;
  } else {
    vec first = *(const vec *)from;
    for (size i = n; i > 32; i -= 32)
      *(vec *)(to + i - 32) = *(const vec *)(from + i - 32);
    *(vec *)to = first;
  }
  return toAny;
}

HIDDEN void *memset(void *toAny, int value, size n) {
  u8 *to = toAny;
  u64 word = (u8)value * 0x0101010101010101ull;
  if (n < 8) {
    for (size i = 0; i < n; ++i)
      to[i] = (u8)value;
    return toAny;
  }
  size i = 0;
  vec wide = (vec)(__attribute__((vector_size(32))) u64){word, word, word, word};
  for (; i + 32 <= n; i += 32)
    *(vec *)(to + i) = wide;
  for (; i + 8 <= n; i += 8)
    *(u64_any *)(to + i) = word;
  *(u64_any *)(to + n - 8) = word;
  return toAny;
}

HIDDEN int memcmp(const void *aAny, const void *bAny, size n) {
  const u8 *a = aAny, *b = bAny;
  for (size i = 0; i < n; ++i)
    if (a[i] != b[i])
      return a[i] < b[i] ? -1 : 1;
  return 0;
}

HIDDEN int bcmp(const void *a, const void *b, size n) { return memcmp(a, b, n); }

//===-- half and bfloat ---------------------------------------------------===//

static inline u32 bitsOf(float x) { return __builtin_bit_cast(u32, x); }
static inline u64 bitsOfDouble(double x) { return __builtin_bit_cast(u64, x); }

// The calling convention passes both 16-bit types in the low half of an SSE register, as _Float16 and __bf16 do.
HIDDEN float __extendhfsf2(_Float16 x) {
  u32 h = __builtin_bit_cast(u16, x), sign = (h & 0x8000) << 16, e = h >> 10 & 31, m = h & 1023;
  if (e == 31)
    return __builtin_bit_cast(float, sign | 0x7f800000 | m << 13 | (m ? 0x400000 : 0));
  if (e)
    return __builtin_bit_cast(float, sign | (e + 112) << 23 | m << 13);
  float small = (float)m * 0x1p-24f;
  return __builtin_bit_cast(float, sign | bitsOf(small));
}

// Bits of a half from a double, rounded to nearest even; exact doubles of floats make one routine serve both.
static inline u16 halfFromDouble(double x) {
  u64 b = bitsOfDouble(x);
  u16 sign = b >> 48 & 0x8000;
  int e = (int)(b >> 52 & 2047) - 1023;
  u64 m = b & 0xfffffffffffffull;
  if (e == 1024)
    return sign | 0x7c00 | (m ? 0x200 | (u16)(m >> 42) : 0);
  if (e > 15)
    return sign | 0x7c00;
  if (e < -25)
    return sign;
  m |= 1ull << 52;
  int drop = e >= -14 ? 42 : 42 + (-14 - e);
  u64 kept = m >> drop, rest = m & ((1ull << drop) - 1), half = 1ull << (drop - 1);
  kept += rest > half || (rest == half && (kept & 1));
  // A carry out of the significand goes into the exponent, up to infinity.
  return sign | (u16)(kept + (e >= -14 ? (u64)(e + 14) << 10 : 0));
}

HIDDEN _Float16 __truncsfhf2(float x) { return __builtin_bit_cast(_Float16, halfFromDouble(x)); }
HIDDEN _Float16 __truncdfhf2(double x) { return __builtin_bit_cast(_Float16, halfFromDouble(x)); }
HIDDEN float __gnu_h2f_ieee(u16 x) { return __extendhfsf2(__builtin_bit_cast(_Float16, x)); }
HIDDEN u16 __gnu_f2h_ieee(float x) { return halfFromDouble(x); }
HIDDEN double __extendhfdf2(_Float16 x) { return __extendhfsf2(x); }

static inline u16 bfloatFromFloat(float x) {
  u32 b = bitsOf(x);
  if ((b & 0x7fffffff) > 0x7f800000)
    return b >> 16 | 0x40;
  return (b + 0x7fff + (b >> 16 & 1)) >> 16;
}
HIDDEN __bf16 __truncsfbf2(float x) { return __builtin_bit_cast(__bf16, bfloatFromFloat(x)); }
HIDDEN __bf16 __truncdfbf2(double x) {
  // To odd first, so that the second rounding decides as one would.
  float f = (float)x;
  u32 b = bitsOf(f);
  if (f == f && (double)f != x && !(b & 1)) {
    int away = __builtin_fabs((double)f) > __builtin_fabs(x);
    b = away ? b - 1 : b + 1;
  }
  return __builtin_bit_cast(__bf16, bfloatFromFloat(__builtin_bit_cast(float, b)));
}

//===-- numbers -----------------------------------------------------------===//

// Exact remainder by shift and subtract; the sign is that of x.
#define FMOD(NAME, F, U, MANT, EXPMASK)                                                                                \
  HIDDEN F NAME(F x, F y) {                                                                                            \
    U a = __builtin_bit_cast(U, x), b = __builtin_bit_cast(U, y), top = (U)1 << (sizeof(U) * 8 - 1), sign = a & top;   \
    const U one = (U)1 << MANT;                                                                                        \
    a &= ~top;                                                                                                         \
    b &= ~top;                                                                                                         \
    if (b == 0 || a >= (U)EXPMASK << MANT || b > (U)EXPMASK << MANT)                                                   \
      return (x * y) / (x * y);                                                                                        \
    if (a < b)                                                                                                         \
      return x;                                                                                                        \
    int ea = (int)(a >> MANT), eb = (int)(b >> MANT);                                                                  \
    U ma = ea ? (a & (one - 1)) | one : a, mb = eb ? (b & (one - 1)) | one : b;                                        \
    ea += !ea;                                                                                                         \
    eb += !eb;                                                                                                         \
    for (; ea > eb; --ea) {                                                                                            \
      if (ma >= mb)                                                                                                    \
        ma -= mb;                                                                                                      \
      ma <<= 1;                                                                                                        \
    }                                                                                                                  \
    if (ma >= mb)                                                                                                      \
      ma -= mb;                                                                                                        \
    for (; ma && ma < one && eb > 1; --eb)                                                                             \
      ma <<= 1;                                                                                                        \
    U bits = ma >= one ? (ma - one) | (U)eb << MANT : ma;                                                              \
    return __builtin_bit_cast(F, bits | sign);                                                                         \
  }
FMOD(fmodf, float, u32, 23, 255)
FMOD(fmod, double, u64, 52, 2047)

HIDDEN float roundf(float x) {
  float t = __builtin_truncf(x), d = x - t;
  t = __builtin_fabsf(d) >= 0.5f ? t + __builtin_copysignf(1.0f, x) : t;
  return __builtin_copysignf(t, x);
}
HIDDEN double round(double x) {
  double t = __builtin_trunc(x), d = x - t;
  t = __builtin_fabs(d) >= 0.5 ? t + __builtin_copysign(1.0, x) : t;
  return __builtin_copysign(t, x);
}

// For targets without FMA: the product is exact in double; the sum is rounded to odd, then to float.
HIDDEN float fmaf(float x, float y, float z) {
  double p = (double)x * y, s = p + z;
  u64 b = bitsOfDouble(s);
  if ((b >> 52 & 2047) == 2047 || s == 0)
    return (float)s;
  // The error of the sum, exactly; when there is one, the last bit must be odd.
  double t = s - p, error = (p - (s - t)) + (z - t);
  if (error != 0 && !(b & 1))
    b += (error > 0) == (s > 0) ? 1 : -1;
  return (float)__builtin_bit_cast(double, b);
}
