// Memory that every thread of the process sees at one address. Each worker attaches it as an ArrayBuffer of its
// own (not a SharedArrayBuffer: those are copied with relaxed atomics, at half the speed).
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_MAPPINGS 4096
#define ARENA_ALIGNMENT (2UL << 20)

struct mapping {
  uint8_t *address;
  size_t length;
  unsigned attached;
  bool released;
  // What other processes map it by; 0: it has none.
  int fd;
};
static struct mapping mappings[MAX_MAPPINGS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void unmap_if_unused(struct mapping *mapping) {
  if (!mapping->released || mapping->attached > 0) return;
  munmap(mapping->address, mapping->length);
  if (mapping->fd > 0) close(mapping->fd);
  *mapping = (struct mapping){0};
}

// The descriptor of memory that other processes can map, of a size that nobody can change; -1 and errno.
static int shareable(size_t length) {
  int fd = memfd_create("spdk-ts", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return -1;
  if (ftruncate(fd, (off_t)length) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0) return fd;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

// Puts a descriptor's memory in the place of what is mapped at an address.
static bool put_in_place(uint8_t *address, size_t length, int fd) {
  return mmap(address, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd, 0) == address;
}

// Maps zeroed memory, aligned to 2 MiB, that the kernel commits when it is touched. `fd`: the memory's, or -1. NULL and errno.
static uint8_t *map_aligned(size_t length, bool huge, int fd) {
  // Room to align to 2 MiB, so that the kernel can use large pages; what is cut off is given back.
  uint8_t *address = mmap(NULL, length + ARENA_ALIGNMENT, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) return NULL;
  uint8_t *aligned = (uint8_t *)(((uintptr_t)address + ARENA_ALIGNMENT - 1) & ~(ARENA_ALIGNMENT - 1));
  if (aligned > address) munmap(address, (size_t)(aligned - address));
  if (address + ARENA_ALIGNMENT > aligned) munmap(aligned + length, (size_t)(address + ARENA_ALIGNMENT - aligned));
  if (fd >= 0 && !put_in_place(aligned, length, fd)) {
    int error = errno;
    munmap(aligned, length);
    errno = error;
    return NULL;
  }
  // Fewer misses of the TLB, in the kernel's copies as well. A kernel without huge pages refuses: no harm done.
  if (huge) madvise(aligned, length, MADV_HUGEPAGE);
  return aligned;
}

// allocateMemory(bytes, huge, descriptor): reserves memory, zeroed and committed by the kernel when it is touched: where
// `huge` is 1, in pages of 2 MiB if it has them; where `descriptor` is 1, with one, for other processes. Returns its handle.
static napi_value allocate_memory(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t bytes, huge, descriptor;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 1, 1LL << 46, &bytes) ||
      !get_integer(&call, 1, 0, 1, &huge) || !get_integer(&call, 2, 0, 1, &descriptor))
    return NULL;
  size_t length = ((size_t)bytes + 4095) & ~4095UL;
  int fd = descriptor ? shareable(length) : -1;
  if (descriptor && fd < 0) return throw_errno(env, "memfd_create", errno);
  uint8_t *address = map_aligned(length, huge, fd);
  if (address == NULL) {
    int error = errno;
    if (fd >= 0) close(fd);
    return throw_errno(env, "mmap", error);
  }
  pthread_mutex_lock(&lock);
  int handle = 0;
  while (handle < MAX_MAPPINGS && mappings[handle].address != NULL) handle++;
  if (handle < MAX_MAPPINGS)
    mappings[handle] = (struct mapping){.address = address, .length = length, .fd = fd > 0 ? fd : 0};
  pthread_mutex_unlock(&lock);
  if (handle == MAX_MAPPINGS) {
    munmap(address, length);
    if (fd >= 0) close(fd);
    return throw_errno(env, "allocateMemory: too many allocations", ENOMEM);
  }
  return make_number(env, handle);
}

static void detach(napi_env env, void *data, void *hint) {
  (void)env;
  (void)data;
  pthread_mutex_lock(&lock);
  struct mapping *mapping = hint;
  mapping->attached--;
  unmap_if_unused(mapping);
  pthread_mutex_unlock(&lock);
}

static struct mapping *find(struct call *call) {
  int64_t handle;
  if (!get_integer(call, 0, 0, MAX_MAPPINGS - 1, &handle)) return NULL;
  struct mapping *mapping = &mappings[handle];
  if (mapping->address != NULL && !mapping->released) return mapping;
  throw_range(call->env, "argument 1 is not the handle of memory that is allocated");
  return NULL;
}

// attachMemory(handle): the memory as an ArrayBuffer of the calling thread. It outlives releaseMemory.
static napi_value attach_memory(napi_env env, napi_callback_info info) {
  struct call call;
  if (!get_call(env, info, &call)) return NULL;
  pthread_mutex_lock(&lock);
  struct mapping *mapping = find(&call);
  bool fits = mapping != NULL && fits_buffer(env, mapping->length);
  if (fits) mapping->attached++;
  pthread_mutex_unlock(&lock);
  return fits ? make_buffer(env, mapping->address, mapping->length, detach, mapping) : NULL;
}

// memoryAddress(handle)
static napi_value memory_address(napi_env env, napi_callback_info info) {
  struct call call;
  if (!get_call(env, info, &call)) return NULL;
  pthread_mutex_lock(&lock);
  struct mapping *mapping = find(&call);
  uint8_t *address = mapping == NULL ? NULL : mapping->address;
  pthread_mutex_unlock(&lock);
  return address == NULL ? NULL : make_number(env, (double)(uintptr_t)address);
}

// releaseMemory(handle): gives the memory back once the last ArrayBuffer over it is gone.
static napi_value release_memory(napi_env env, napi_callback_info info) {
  struct call call;
  if (!get_call(env, info, &call)) return NULL;
  pthread_mutex_lock(&lock);
  struct mapping *mapping = find(&call);
  if (mapping != NULL) {
    mapping->released = true;
    unmap_if_unused(mapping);
  }
  pthread_mutex_unlock(&lock);
  return NULL;
}

// discardMemory(handle, offset, length): gives whole pages of the range back to the kernel; they read as zeroes.
static napi_value discard_memory(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t offset, length;
  if (!get_call(env, info, &call) || !get_integer(&call, 1, 0, MAX_SAFE, &offset) ||
      !get_integer(&call, 2, 0, MAX_SAFE, &length))
    return NULL;
  pthread_mutex_lock(&lock);
  struct mapping *mapping = find(&call);
  bool inside = mapping != NULL && (size_t)offset <= mapping->length && (size_t)length <= mapping->length - offset;
  uint8_t *address = inside ? mapping->address : NULL;
  // Of shared memory MADV_DONTNEED would only unmap the pages.
  int advice = inside && mapping->fd > 0 ? MADV_REMOVE : MADV_DONTNEED;
  pthread_mutex_unlock(&lock);
  if (mapping == NULL) return NULL;
  if (!inside) return throw_range(env, "the range is not inside the memory");
  uintptr_t start = ((uintptr_t)address + offset + 4095) & ~4095UL, end = ((uintptr_t)address + offset + length) & ~4095UL;
  if (end > start && madvise((void *)start, end - start, advice) != 0)
    return throw_errno(env, "madvise", errno);
  return NULL;
}

// addressOf(view): where its bytes are. They stay there as long as its buffer lives and is not transferred.
static napi_value address_of(napi_env env, napi_callback_info info) {
  struct call call;
  uint8_t *data;
  size_t length;
  if (!get_call(env, info, &call) || !get_bytes(&call, 0, &data, &length)) return NULL;
  return make_number(env, (double)(uintptr_t)data);
}

// memoryBehind(view): of the memory with a descriptor that a view's bytes lie in, {descriptor, address, bytes}, with a copy
// of the descriptor that is the caller's to close; null where they lie in none.
static napi_value memory_behind(napi_env env, napi_callback_info info) {
  struct call call;
  uint8_t *data;
  size_t length;
  napi_value result;
  if (!get_call(env, info, &call) || !get_bytes(&call, 0, &data, &length)) return NULL;
  int fd = -1;
  struct mapping found = {0};
  pthread_mutex_lock(&lock);
  for (int i = 0; i < MAX_MAPPINGS && found.address == NULL; i++) {
    struct mapping *one = &mappings[i];
    if (one->fd > 0 && data >= one->address && length <= one->length && data - one->address <= (ptrdiff_t)(one->length - length))
      found = *one;
  }
  if (found.address != NULL) fd = fcntl(found.fd, F_DUPFD_CLOEXEC, 3);
  int error = errno;
  pthread_mutex_unlock(&lock);
  if (found.address == NULL) return napi_get_null(env, &result) == napi_ok ? result : NULL;
  if (fd < 0) return throw_errno(env, "fcntl(F_DUPFD_CLOEXEC)", error);
  if (napi_create_object(env, &result) != napi_ok) {
    close(fd);
    return NULL;
  }
  set_number(env, result, "descriptor", fd);
  set_number(env, result, "address", (double)(uintptr_t)found.address);
  set_number(env, result, "bytes", (double)found.length);
  return result;
}

void define_memory(napi_env env, napi_value exports) {
  const napi_property_descriptor methods[] = {
      METHOD("allocateMemory", allocate_memory), METHOD("attachMemory", attach_memory),
      METHOD("memoryAddress", memory_address),   METHOD("releaseMemory", release_memory),
      METHOD("discardMemory", discard_memory),   METHOD("addressOf", address_of),
      METHOD("memoryBehind", memory_behind),
  };
  napi_define_properties(env, exports, sizeof methods / sizeof methods[0], methods);
}
