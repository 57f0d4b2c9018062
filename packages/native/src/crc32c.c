// CRC32C, by the instruction where the processor has it: three streams at once, joined by tables that advance a
// CRC over a run of zeroes. Chosen at run time.
#include "addon.h"

#include <pthread.h>
#include <string.h>

#define POLYNOMIAL 0x82f63b78u
#define LONG_RUN 2048
#define SHORT_RUN 256

static uint32_t table[8][256];

static void build_tables(void) {
  for (uint32_t n = 0; n < 256; n++) {
    uint32_t crc = n;
    for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ POLYNOMIAL : crc >> 1;
    table[0][n] = crc;
  }
  for (uint32_t n = 0; n < 256; n++)
    for (int k = 1; k < 8; k++) table[k][n] = (table[k - 1][n] >> 8) ^ table[0][table[k - 1][n] & 0xff];
}

static uint32_t by_table(uint32_t crc, const uint8_t *data, size_t length) {
  for (; length >= 8; data += 8, length -= 8) {
    uint32_t low, high;
    memcpy(&low, data, 4);
    memcpy(&high, data + 4, 4);
    low ^= crc;
    crc = table[7][low & 0xff] ^ table[6][(low >> 8) & 0xff] ^ table[5][(low >> 16) & 0xff] ^ table[4][low >> 24] ^
          table[3][high & 0xff] ^ table[2][(high >> 8) & 0xff] ^ table[1][(high >> 16) & 0xff] ^ table[0][high >> 24];
  }
  while (length-- > 0) crc = (crc >> 8) ^ table[0][(crc ^ *data++) & 0xff];
  return crc;
}

#if defined(__x86_64__) || defined(__aarch64__)
static uint32_t long_shift[4][256], short_shift[4][256];

// What `run` zero bytes make of each byte of a CRC.
static void build_shift(uint32_t shift[4][256], size_t run) {
  static const uint8_t zeroes[64];
  for (int byte = 0; byte < 4; byte++)
    for (uint32_t n = 0; n < 256; n++) {
      uint32_t crc = n << (8 * byte);
      for (size_t done = 0; done < run; done += sizeof zeroes) crc = by_table(crc, zeroes, sizeof zeroes);
      shift[byte][n] = crc;
    }
}

static uint32_t advance(uint32_t shift[4][256], uint32_t crc) {
  return shift[0][crc & 0xff] ^ shift[1][(crc >> 8) & 0xff] ^ shift[2][(crc >> 16) & 0xff] ^ shift[3][crc >> 24];
}

static inline uint64_t load(const uint8_t *data) {
  uint64_t value;
  memcpy(&value, data, 8);
  return value;
}

#ifdef __x86_64__
#define TARGET __attribute__((target("sse4.2")))
#define STEP64(crc, value) __builtin_ia32_crc32di((crc), (value))
#define STEP8(crc, value) __builtin_ia32_crc32qi((uint32_t)(crc), (value))
#else
#include <arm_acle.h>
#define TARGET __attribute__((target("+crc")))
#define STEP64(crc, value) __crc32cd((uint32_t)(crc), (value))
#define STEP8(crc, value) __crc32cb((uint32_t)(crc), (value))
#endif

TARGET static uint64_t three_streams(uint64_t crc, const uint8_t **data, size_t *length, size_t run,
                                     uint32_t shift[4][256]) {
  while (*length >= 3 * run) {
    uint64_t second = 0, third = 0;
    const uint8_t *at = *data;
    for (const uint8_t *end = at + run; at < end; at += 8) {
      crc = STEP64(crc, load(at));
      second = STEP64(second, load(at + run));
      third = STEP64(third, load(at + 2 * run));
    }
    crc = advance(shift, (uint32_t)crc) ^ second;
    crc = advance(shift, (uint32_t)crc) ^ third;
    *data += 3 * run;
    *length -= 3 * run;
  }
  return crc;
}

TARGET static uint32_t by_instruction(uint32_t start, const uint8_t *data, size_t length) {
  uint64_t crc = start;
  crc = three_streams(crc, &data, &length, LONG_RUN, long_shift);
  crc = three_streams(crc, &data, &length, SHORT_RUN, short_shift);
  for (; length >= 8; data += 8, length -= 8) crc = STEP64(crc, load(data));
  for (; length > 0; length--) crc = STEP8(crc, *data++);
  return (uint32_t)crc;
}
#endif

#ifdef __aarch64__
#include <sys/auxv.h>
#ifndef HWCAP_CRC32
#define HWCAP_CRC32 (1 << 7)
#endif
#endif

static bool has_instruction(void) {
#if defined(__x86_64__)
  return __builtin_cpu_supports("sse4.2");
#elif defined(__aarch64__)
  return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
#else
  return false;
#endif
}

typedef uint32_t (*update)(uint32_t crc, const uint8_t *data, size_t length);

// The ways of this processor, the best last.
static struct { const char *name; update update; } paths[2];
static size_t path_count;
uint32_t (*crc32c_update)(uint32_t crc, const uint8_t *data, size_t length) = by_table;

static void select_path(void) {
  build_tables();
  paths[path_count].name = "table";
  paths[path_count++].update = by_table;
#if defined(__x86_64__) || defined(__aarch64__)
  if (has_instruction()) {
    build_shift(long_shift, LONG_RUN);
    build_shift(short_shift, SHORT_RUN);
    paths[path_count].name = "instruction";
    paths[path_count++].update = by_instruction;
  }
#endif
  crc32c_update = paths[path_count - 1].update;
}

// Every thread that loads the addon comes here, and none goes on before the tables are complete.
void crc32c_select(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, select_path);
}

static bool get_range(struct call *call, size_t index, const uint8_t **data, size_t *length, uint32_t *crc) {
  uint8_t *bytes;
  size_t all;
  int64_t start, end, before;
  if (!get_bytes(call, index, &bytes, &all) || !get_integer(call, index + 1, 0, (int64_t)all, &start) ||
      !get_integer(call, index + 2, start, (int64_t)all, &end) ||
      !get_integer(call, index + 3, 0, UINT32_MAX, &before))
    return false;
  *data = bytes + start;
  *length = (size_t)(end - start);
  *crc = (uint32_t)before;
  return true;
}

// crc32cPaths(): the names of the ways that this processor has, the one that is used last.
static napi_value crc32c_paths(napi_env env, napi_callback_info info) {
  (void)info;
  napi_value list, name;
  if (napi_create_array_with_length(env, path_count, &list) != napi_ok) return NULL;
  for (size_t i = 0; i < path_count; i++)
    if (napi_create_string_utf8(env, paths[i].name, NAPI_AUTO_LENGTH, &name) != napi_ok ||
        napi_set_element(env, list, (uint32_t)i, name) != napi_ok)
      return NULL;
  return list;
}

// crc32cBy(path, bytes, start, end, crc): the CRC32C by one of them, for tests and measurements.
static napi_value crc32c_by(napi_env env, napi_callback_info info) {
  struct call call;
  char name[16];
  const uint8_t *data;
  size_t length;
  uint32_t crc;
  if (!get_call(env, info, &call) || !get_text(&call, 0, name, sizeof name) ||
      !get_range(&call, 1, &data, &length, &crc))
    return NULL;
  for (size_t i = 0; i < path_count; i++)
    if (strcmp(paths[i].name, name) == 0) return make_number(env, ~paths[i].update(~crc, data, length));
  return throw_range(env, "argument 1 is not a way of this processor");
}

void define_crc32c(napi_env env, napi_value exports) {
  const napi_property_descriptor methods[] = {
      METHOD("crc32cPaths", crc32c_paths),
      METHOD("crc32cBy", crc32c_by),
  };
  napi_define_properties(env, exports, sizeof methods / sizeof methods[0], methods);
}
