// The guards of protection information that have no instruction of their own, CRC-16 T10DIF and CRC-64 NVMe: by
// carry-less multiplication where the processor has it, else and for what is short by tables, sixteen bytes a step.
#include "addon.h"

#include <pthread.h>
#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#define POLYNOMIAL16 0x8bb7u
#define POLYNOMIAL64 0x9a6c9329ac4bc9b5ULL  // reflected
#define SLICES 16

static uint16_t table16[SLICES][256];
static uint64_t table64[SLICES][256];

static void build_tables(void) {
  for (uint32_t n = 0; n < 256; n++) {
    uint32_t crc16 = n << 8;
    uint64_t crc64 = n;
    for (int bit = 0; bit < 8; bit++) {
      crc16 = (crc16 & 0x8000 ? (crc16 << 1) ^ POLYNOMIAL16 : crc16 << 1) & 0xffff;
      crc64 = crc64 & 1 ? (crc64 >> 1) ^ POLYNOMIAL64 : crc64 >> 1;
    }
    table16[0][n] = (uint16_t)crc16;
    table64[0][n] = crc64;
  }
  for (int k = 1; k < SLICES; k++)
    for (uint32_t n = 0; n < 256; n++) {
      uint16_t crc16 = table16[k - 1][n];
      uint64_t crc64 = table64[k - 1][n];
      table16[k][n] = (uint16_t)(crc16 << 8) ^ table16[0][crc16 >> 8];
      table64[k][n] = (crc64 >> 8) ^ table64[0][crc64 & 0xff];
    }
}

static uint16_t crc16_by_table(uint16_t crc, const uint8_t *data, size_t length) {
  for (; length >= SLICES; data += SLICES, length -= SLICES) {
    uint16_t next = table16[15][(crc >> 8) ^ data[0]] ^ table16[14][(crc & 0xff) ^ data[1]];
    for (int i = 2; i < SLICES; i++) next ^= table16[SLICES - 1 - i][data[i]];
    crc = next;
  }
  while (length-- > 0) crc = (uint16_t)(crc << 8) ^ table16[0][(crc >> 8) ^ *data++];
  return crc;
}

static uint64_t crc64_by_table(uint64_t crc, const uint8_t *data, size_t length) {
  for (; length >= SLICES; data += SLICES, length -= SLICES) {
    uint64_t next = 0;
    for (int i = 0; i < 8; i++) next ^= table64[SLICES - 1 - i][data[i] ^ ((crc >> (8 * i)) & 0xff)];
    for (int i = 8; i < SLICES; i++) next ^= table64[SLICES - 1 - i][data[i]];
    crc = next;
  }
  while (length-- > 0) crc = (crc >> 8) ^ table64[0][(crc ^ *data++) & 0xff];
  return crc;
}

#ifdef __x86_64__
// From here on multiplication pays, bytes: its first four words of 16 bytes and a few more.
#define FOLD_BYTES 128
#define TARGET __attribute__((target("pclmul,ssse3")))

static bool can_multiply;
// x to the power of bits to advance by, modulo the polynomial: for the earlier half of a word's bytes, and for
// the later.
static uint64_t fold16_by_512[2], fold16_by_128[2], fold64_by_512[2], fold64_by_128[2];

static uint64_t power16(int n) {
  uint32_t power = 1;
  while (n-- > 0) power = (power & 0x8000 ? (power << 1) ^ POLYNOMIAL16 : power << 1) & 0xffff;
  return power;
}

static uint64_t power64(int n) {
  uint64_t power = 1ULL << 63;
  while (n-- > 0) power = power & 1 ? (power >> 1) ^ POLYNOMIAL64 : power >> 1;
  return power;
}

static void build_powers(void) {
  can_multiply = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("ssse3");
  fold16_by_512[0] = power16(512 + 64);
  fold16_by_512[1] = power16(512);
  fold16_by_128[0] = power16(128 + 64);
  fold16_by_128[1] = power16(128);
  // The product of reflected numbers is one place off.
  fold64_by_512[0] = power64(512 + 64 - 1);
  fold64_by_512[1] = power64(512 - 1);
  fold64_by_128[0] = power64(128 + 64 - 1);
  fold64_by_128[1] = power64(128 - 1);
}

// Both halves of a word, each times its power, onto the next word.
TARGET static __m128i fold(__m128i word, __m128i power, __m128i next) {
  __m128i low = _mm_clmulepi64_si128(word, power, 0x00), high = _mm_clmulepi64_si128(word, power, 0x11);
  return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

TARGET static __m128i swap(__m128i word) {
  return _mm_shuffle_epi8(word, _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
}

TARGET static __m128i load(const uint8_t *data, bool swapped) {
  __m128i word = _mm_loadu_si128((const __m128i *)data);
  return swapped ? swap(word) : word;
}

// Folds all whole words of 16 bytes into one, whose CRC from 0 is theirs: `first` is what the CRC so far adds to the
// first. Returns what is left of the length.
TARGET static inline size_t fold_all(const uint8_t *data, size_t length, bool swapped, __m128i first, __m128i by_512,
                                     __m128i by_128, uint8_t result[16]) {
  __m128i word[4];
  for (int i = 0; i < 4; i++) word[i] = load(data + 16 * i, swapped);
  word[0] = _mm_xor_si128(word[0], first);
  for (data += 64, length -= 64; length >= 64; data += 64, length -= 64)
    for (int i = 0; i < 4; i++) word[i] = fold(word[i], by_512, load(data + 16 * i, swapped));
  for (int i = 1; i < 4; i++) word[0] = fold(word[0], by_128, word[i]);
  for (; length >= 16; data += 16, length -= 16) word[0] = fold(word[0], by_128, load(data, swapped));
  _mm_storeu_si128((__m128i *)result, swapped ? swap(word[0]) : word[0]);
  return length;
}

TARGET static uint16_t crc16_by_multiplication(uint16_t crc, const uint8_t *data, size_t length) {
  uint8_t word[16];
  __m128i by_512 = _mm_set_epi64x((int64_t)fold16_by_512[0], (int64_t)fold16_by_512[1]);
  __m128i by_128 = _mm_set_epi64x((int64_t)fold16_by_128[0], (int64_t)fold16_by_128[1]);
  __m128i first = _mm_set_epi64x((int64_t)((uint64_t)crc << 48), 0);
  size_t left = fold_all(data, length, true, first, by_512, by_128, word);
  return crc16_by_table(crc16_by_table(0, word, sizeof word), data + length - left, left);
}

TARGET static uint64_t crc64_by_multiplication(uint64_t crc, const uint8_t *data, size_t length) {
  uint8_t word[16];
  __m128i by_512 = _mm_set_epi64x((int64_t)fold64_by_512[1], (int64_t)fold64_by_512[0]);
  __m128i by_128 = _mm_set_epi64x((int64_t)fold64_by_128[1], (int64_t)fold64_by_128[0]);
  size_t left = fold_all(data, length, false, _mm_set_epi64x(0, (int64_t)crc), by_512, by_128, word);
  return crc64_by_table(crc64_by_table(0, word, sizeof word), data + length - left, left);
}
#endif

static uint16_t crc16_update(uint16_t crc, const uint8_t *data, size_t length) {
#ifdef __x86_64__
  if (can_multiply && length >= FOLD_BYTES) return crc16_by_multiplication(crc, data, length);
#endif
  return crc16_by_table(crc, data, length);
}

static uint64_t crc64_update(uint64_t crc, const uint8_t *data, size_t length) {
#ifdef __x86_64__
  if (can_multiply && length >= FOLD_BYTES) return crc64_by_multiplication(crc, data, length);
#endif
  return crc64_by_table(crc, data, length);
}

// bytes, start, end at `index`: a range of an array.
static bool get_range(struct call *call, size_t index, const uint8_t **data, size_t *length) {
  uint8_t *bytes;
  size_t all;
  int64_t start, end;
  if (!get_bytes(call, index, &bytes, &all) || !get_integer(call, index + 1, 0, (int64_t)all, &start) ||
      !get_integer(call, index + 2, start, (int64_t)all, &end))
    return false;
  *data = bytes + start;
  *length = (size_t)(end - start);
  return true;
}

// crc16T10dif(bytes, start, end, crc): continued from `crc` (0 at first).
static napi_value crc16_t10dif(napi_env env, napi_callback_info info) {
  struct call call;
  const uint8_t *data;
  size_t length;
  int64_t crc;
  if (!get_call(env, info, &call) || !get_range(&call, 0, &data, &length) ||
      !get_integer(&call, 3, 0, UINT16_MAX, &crc))
    return NULL;
  return make_number(env, crc16_update((uint16_t)crc, data, length));
}

// crc64Nvme(crc, bytes, start, end): continues `crc`, two words with the lower half first (0 at first), in place.
static napi_value crc64_nvme(napi_env env, napi_callback_info info) {
  struct call call;
  const uint8_t *data;
  uint8_t *words;
  size_t length, size;
  uint64_t crc;
  if (!get_call(env, info, &call) || !get_typed(&call, 0, napi_uint32_array, &words, &size)) return NULL;
  if (size != sizeof crc) return throw_range(env, "argument 1 must have two words");
  if (!get_range(&call, 1, &data, &length)) return NULL;
  memcpy(&crc, words, sizeof crc);
  crc = ~crc64_update(~crc, data, length);
  memcpy(words, &crc, sizeof crc);
  return NULL;
}

static void prepare(void) {
  build_tables();
#ifdef __x86_64__
  build_powers();
#endif
}

void define_guard_crc(napi_env env, napi_value exports) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, prepare);
  const napi_property_descriptor methods[] = {
      METHOD("crc16T10dif", crc16_t10dif),
      METHOD("crc64Nvme", crc64_nvme),
  };
  napi_define_properties(env, exports, sizeof methods / sizeof methods[0], methods);
}
