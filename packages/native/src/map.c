// Memory that has a descriptor: made here for another process, or received from one (a guest's RAM).
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#define PAGE_BYTES 4096UL

struct map {
  void *address;
  size_t length;
};

static void unmap(napi_env env, void *data, void *hint) {
  (void)env;
  (void)data;
  struct map *map = hint;
  munmap(map->address, map->length);
  free(map);
}

// memoryFile(name, bytes): the descriptor of new memory of this size, zeroed, which can be passed to other
// processes. It can be sealed.
static napi_value memory_file(napi_env env, napi_callback_info info) {
  struct call call;
  char name[64];
  int64_t bytes;
  if (!get_call(env, info, &call) || !get_text(&call, 0, name, sizeof name) ||
      !get_integer(&call, 1, 1, 1LL << 46, &bytes))
    return NULL;
  int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return throw_errno(env, "memfd_create", errno);
  if (ftruncate(fd, bytes) == 0) return make_number(env, fd);
  int error = errno;
  close(fd);
  return throw_errno(env, "ftruncate(memfd)", error);
}

// sealSize(fd): from now on nobody can change the size of a memory file, and so cut mapped pages off.
static napi_value seal_size(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t fd;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd)) return NULL;
  if (fcntl((int)fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0)
    return throw_errno(env, "fcntl(F_ADD_SEALS)", errno);
  return NULL;
}

// sizeIsSealed(fd): true if nobody can make the memory behind a descriptor shorter.
static napi_value size_is_sealed(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t fd;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd)) return NULL;
  int seals = fcntl((int)fd, F_GET_SEALS);
  if (seals < 0 && errno != EINVAL) return throw_errno(env, "fcntl(F_GET_SEALS)", errno);
  return make_boolean(env, seals >= 0 && (seals & F_SEAL_SHRINK));
}

// What a mapping's length must be a multiple of: huge pages cannot be cut.
static size_t page_bytes(int fd) {
  struct statfs fs;
  return fstatfs(fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC ? (size_t)fs.f_bsize : PAGE_BYTES;
}

// mapDescriptor(fd, offset, length): shared memory as an ArrayBuffer, unmapped when that is collected. The range
// must lie inside the file: a page beyond its end is a SIGBUS. Who can shrink the file later can still cause one,
// which is what sizeIsSealed is for.
static napi_value map_descriptor(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t fd, offset, length;
  struct stat stat;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd) ||
      !get_integer(&call, 1, 0, MAX_SAFE, &offset) || !get_integer(&call, 2, 1, MAX_SAFE, &length) ||
      !fits_buffer(env, (size_t)length))
    return NULL;
  if (fstat((int)fd, &stat) != 0) return throw_errno(env, "fstat", errno);
  if (!S_ISREG(stat.st_mode)) return throw_range(env, "argument 1 is not the descriptor of memory or a file");
  if (offset > stat.st_size || length > stat.st_size - offset)
    return throw_range(env, "the range does not lie inside the file");
  size_t page = page_bytes((int)fd);
  if ((size_t)offset % page != 0) return throw_range(env, "argument 2 must be a multiple of the page size");
  struct map *map = malloc(sizeof *map);
  if (map == NULL) return throw_errno(env, "malloc", ENOMEM);
  map->length = ((size_t)length + page - 1) / page * page;
  map->address = mmap(NULL, map->length, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, offset);
  if (map->address == MAP_FAILED) {
    free(map);
    return throw_errno(env, "mmap", errno);
  }
  return make_buffer(env, map->address, (size_t)length, unmap, map);
}

void define_map(napi_env env, napi_value exports) {
  const napi_property_descriptor methods[] = {
      METHOD("memoryFile", memory_file),
      METHOD("sealSize", seal_size),
      METHOD("sizeIsSealed", size_is_sealed),
      METHOD("mapDescriptor", map_descriptor),
  };
  napi_define_properties(env, exports, sizeof methods / sizeof methods[0], methods);
}
