// Memory that has a descriptor: made here for another process, or received from one (a guest's RAM). Who else has it
// may make it shorter while it is mapped; touching what is no longer there would then end the process (SIGBUS). A page
// that is lost so becomes one of zeroes instead, and the mapping remembers it.
#include "foreign.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#define PAGE_BYTES 4096UL
// Mappings at once, of all threads.
#define MAX_MAPS 16384

// A slot is free while its address is 0. The signal handler reads slots without a lock: all else is set before the
// address, and an address is taken back before its memory is unmapped.
struct map {
  atomic_uintptr_t address;
  size_t length;
  size_t page;
  atomic_bool lost;
  struct hold *hold;
};

// What an ArrayBuffer keeps: no mapping any more once it was taken away before the buffer's end.
struct hold {
  struct map *map;
};

static struct map maps[MAX_MAPS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction previous;
static bool guarding;

static struct map *map_at(uintptr_t address) {
  for (struct map *map = maps; map < maps + MAX_MAPS; map++) {
    uintptr_t start = atomic_load(&map->address);
    if (start != 0 && address >= start && address - start < map->length) return map;
  }
  return NULL;
}

static void on_bus_error(int number, siginfo_t *info, void *context) {
  int error = errno;
  struct map *map = map_at((uintptr_t)info->si_addr);
  if (map != NULL) {
    void *page = (void *)((uintptr_t)info->si_addr / map->page * map->page);
    void *zeroes = mmap(page, map->page, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (zeroes != MAP_FAILED) {
      atomic_store(&map->lost, true);
      errno = error;
      return;
    }
  }
  if (previous.sa_flags & SA_SIGINFO) {
    previous.sa_sigaction(number, info, context);
  } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(number);
  } else {
    // An instruction faults again, which ends the process; what somebody sent is sent again.
    signal(number, SIG_DFL);
    if (info->si_code <= 0) raise(number);
  }
}

// Under the lock.
static bool guard(void) {
  if (guarding) return true;
  struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigemptyset(&action.sa_mask);
  guarding = sigaction(SIGBUS, &action, &previous) == 0;
  return guarding;
}

// Maps memory into a free slot: NULL, with errno, if that fails.
static struct map *add_map(int fd, off_t offset, size_t length, size_t page, int kind) {
  struct map *map = maps;
  pthread_mutex_lock(&lock);
  while (map < maps + MAX_MAPS && atomic_load(&map->address) != 0) map++;
  bool ready = map < maps + MAX_MAPS && guard();
  if (!ready) errno = EMFILE;
  void *address = ready ? mmap(NULL, length, PROT_READ | PROT_WRITE, kind, fd, offset) : MAP_FAILED;
  if (address != MAP_FAILED) {
    map->length = length;
    map->page = page;
    atomic_store(&map->lost, false);
    atomic_store(&map->address, (uintptr_t)address);
  }
  pthread_mutex_unlock(&lock);
  return address == MAP_FAILED ? NULL : map;
}

static void remove_map(struct map *map) {
  void *address = (void *)atomic_load(&map->address);
  size_t length = map->length;
  map->hold->map = NULL;
  atomic_store(&map->address, 0);
  munmap(address, length);
}

static void end_hold(napi_env env, void *data, void *hint) {
  (void)env;
  (void)data;
  struct hold *hold = hint;
  if (hold->map != NULL) remove_map(hold->map);
  free(hold);
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

// What a mapping's length must be a multiple of: huge pages cannot be cut.
static size_t page_bytes(int fd) {
  struct statfs fs;
  return fstatfs(fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC ? (size_t)fs.f_bsize : PAGE_BYTES;
}

// mapDescriptor(fd, offset, length, shared): memory as an ArrayBuffer, unmapped when that is collected or detached. The
// range must lie inside the file, and no other process or machine may have to bring its pages. Not shared: what is written stays here, for descriptors that allow reading only.
static napi_value map_descriptor(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t fd, offset, length, shared;
  struct stat stat;
  char why[224];
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd) ||
      !get_integer(&call, 1, 0, MAX_SAFE, &offset) || !get_integer(&call, 2, 1, MAX_SAFE, &length) ||
      !get_integer(&call, 3, 0, 1, &shared) || !fits_buffer(env, (size_t)length))
    return NULL;
  if (may_stall((int)fd, why, sizeof why)) return throw_range(env, why);
  if (fstat((int)fd, &stat) != 0) return throw_errno(env, "fstat", errno);
  if (!S_ISREG(stat.st_mode)) return throw_range(env, "argument 1 is not the descriptor of memory or a file");
  if (offset > stat.st_size || length > stat.st_size - offset)
    return throw_range(env, "the range does not lie inside the file");
  size_t page = page_bytes((int)fd);
  if ((size_t)offset % page != 0) return throw_range(env, "argument 2 must be a multiple of the page size");
  size_t whole = ((size_t)length + page - 1) / page * page;
  struct hold *hold = malloc(sizeof *hold);
  if (hold == NULL) return throw_errno(env, "malloc", ENOMEM);
  hold->map = add_map((int)fd, offset, whole, page, shared ? MAP_SHARED : MAP_PRIVATE);
  if (hold->map == NULL) {
    int error = errno;
    free(hold);
    return throw_errno(env, "mmap", error);
  }
  hold->map->hold = hold;
  return make_buffer(env, (void *)atomic_load(&hold->map->address), (size_t)length, end_hold, hold);
}

// The mapping of an ArrayBuffer that mapDescriptor made; throws and returns NULL for any other.
static struct map *map_of(struct call *call) {
  void *data;
  size_t length;
  if (napi_get_arraybuffer_info(call->env, call->values[0], &data, &length) == napi_ok) {
    struct map *map = length == 0 ? NULL : map_at((uintptr_t)data);
    if (map != NULL) return map;
  }
  napi_throw_type_error(call->env, NULL, "argument 1 must be an ArrayBuffer of mapDescriptor");
  return NULL;
}

// unmapBuffer(buffer): takes the memory from an ArrayBuffer, whose views are empty from now on. A region of the batch
// engine must have been taken away before.
static napi_value unmap_buffer(napi_env env, napi_callback_info info) {
  struct call call;
  if (!get_call(env, info, &call)) return NULL;
  struct map *map = map_of(&call);
  if (map == NULL) return NULL;
  if (napi_detach_arraybuffer(env, call.values[0]) != napi_ok) return throw_range(env, "the buffer cannot be detached");
  remove_map(map);
  return NULL;
}

// mapLost(buffer): true if a page was lost, because its file was made shorter.
static napi_value map_lost(napi_env env, napi_callback_info info) {
  struct call call;
  if (!get_call(env, info, &call)) return NULL;
  struct map *map = map_of(&call);
  return map == NULL ? NULL : make_boolean(env, atomic_load(&map->lost));
}

void define_map(napi_env env, napi_value exports) {
  const napi_property_descriptor methods[] = {
      METHOD("memoryFile", memory_file),
      METHOD("sealSize", seal_size),
      METHOD("mapDescriptor", map_descriptor),
      METHOD("unmapBuffer", unmap_buffer),
      METHOD("mapLost", map_lost),
  };
  napi_define_properties(env, exports, sizeof methods / sizeof methods[0], methods);
}
