// Ranges of files and block devices: allocation, holes, zeroes; what direct I/O asks of places and sizes.
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// allocateFile(fd, mode, offset, length): fallocate, for files and block devices: 0, or a negative errno.
static napi_value allocate_file(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t fd, mode, offset, length;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd) ||
      !get_integer(&call, 1, 0, INT32_MAX, &mode) || !get_integer(&call, 2, 0, MAX_SAFE, &offset) ||
      !get_integer(&call, 3, 1, MAX_SAFE, &length))
    return NULL;
  return make_number(env, fallocate((int)fd, (int)mode, offset, length) == 0 ? 0 : -errno);
}

// seekFile(fd, offset, hole): the first byte from offset on that is data (0) or in a hole (1), or a negative errno (ENXIO:
// there is none). Moves the descriptor's own offset, which nothing here uses.
static napi_value seek_file(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t fd, offset, hole;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd) ||
      !get_integer(&call, 1, 0, MAX_SAFE, &offset) || !get_integer(&call, 2, 0, 1, &hole))
    return NULL;
  off_t found = lseek((int)fd, offset, hole ? SEEK_HOLE : SEEK_DATA);
  return make_number(env, found >= 0 ? (double)found : -errno);
}

// unlockFile(fd): gives up what lockFile took, for every copy of the descriptor.
static napi_value unlock_file(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t fd;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd)) return NULL;
  if (flock((int)fd, LOCK_UN) != 0) return throw_errno(env, "flock(LOCK_UN)", errno);
  return NULL;
}

// The part of struct statx used here: the C library's headers may be older than these fields (Linux 6.1).
#define DIOALIGN 0x2000u
struct statx_buffer {
  uint32_t mask;
  uint8_t other[148];
  uint32_t dio_mem_align, dio_offset_align;
  uint8_t rest[96];
};
_Static_assert(sizeof(struct statx_buffer) == 256 && offsetof(struct statx_buffer, dio_mem_align) == 152, "statx");

// directAlignment(fd): {memory, offset}: what O_DIRECT asks of addresses, and of offsets and lengths, in bytes (0:
// there is no direct I/O); null where the kernel or the file system does not tell.
static napi_value direct_alignment(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t fd;
  struct statx_buffer buffer = {0};
  napi_value result;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd)) return NULL;
  if (syscall(SYS_statx, (int)fd, "", AT_EMPTY_PATH, DIOALIGN, &buffer) != 0) {
    if (errno != ENOSYS && errno != EINVAL) return throw_errno(env, "statx", errno);
    buffer.mask = 0;
  }
  if (!(buffer.mask & DIOALIGN)) return napi_get_null(env, &result) == napi_ok ? result : NULL;
  if (napi_create_object(env, &result) != napi_ok) return NULL;
  set_number(env, result, "memory", buffer.dio_mem_align);
  set_number(env, result, "offset", buffer.dio_offset_align);
  return result;
}

void define_file_range(napi_env env, napi_value exports) {
  const napi_property_descriptor methods[] = {
      METHOD("allocateFile", allocate_file),
      METHOD("seekFile", seek_file),
      METHOD("unlockFile", unlock_file),
      METHOD("directAlignment", direct_alignment),
  };
  napi_define_properties(env, exports, sizeof methods / sizeof methods[0], methods);
}
