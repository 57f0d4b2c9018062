// Memory that every thread of the process sees at one address. Each worker attaches it as an ArrayBuffer of its
// own (not a SharedArrayBuffer: those are copied with relaxed atomics, at half the speed).
#include "addon.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

#define MAX_MAPPINGS 4096
#define ARENA_ALIGNMENT (2UL << 20)

struct mapping {
  uint8_t *address;
  size_t length;
  unsigned attached;
  bool released;
};
static struct mapping mappings[MAX_MAPPINGS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void unmap_if_unused(struct mapping *mapping) {
  if (!mapping->released || mapping->attached > 0) return;
  munmap(mapping->address, mapping->length);
  *mapping = (struct mapping){0};
}

// allocateMemory(bytes, huge): reserves memory, zeroed and committed by the kernel when it is touched: where `huge`
// is 1, in pages of 2 MiB if it has them. Returns its handle.
static napi_value allocate_memory(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t bytes, huge;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 1, 1LL << 46, &bytes) ||
      !get_integer(&call, 1, 0, 1, &huge))
    return NULL;
  size_t length = ((size_t)bytes + 4095) & ~4095UL;
  // Room to align to 2 MiB, so that the kernel can use large pages; what is cut off is given back.
  uint8_t *address = mmap(NULL, length + ARENA_ALIGNMENT, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) return throw_errno(env, "mmap", errno);
  uint8_t *aligned = (uint8_t *)(((uintptr_t)address + ARENA_ALIGNMENT - 1) & ~(ARENA_ALIGNMENT - 1));
  if (aligned > address) munmap(address, (size_t)(aligned - address));
  if (address + ARENA_ALIGNMENT > aligned) munmap(aligned + length, (size_t)(address + ARENA_ALIGNMENT - aligned));
  // Fewer misses of the TLB, in the kernel's copies as well. A kernel without huge pages refuses: no harm done.
  if (huge) madvise(aligned, length, MADV_HUGEPAGE);
  pthread_mutex_lock(&lock);
  int handle = 0;
  while (handle < MAX_MAPPINGS && mappings[handle].address != NULL) handle++;
  if (handle < MAX_MAPPINGS) mappings[handle] = (struct mapping){.address = aligned, .length = length};
  pthread_mutex_unlock(&lock);
  if (handle == MAX_MAPPINGS) {
    munmap(aligned, length);
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
  pthread_mutex_unlock(&lock);
  if (mapping == NULL) return NULL;
  if (!inside) return throw_range(env, "the range is not inside the memory");
  uintptr_t start = ((uintptr_t)address + offset + 4095) & ~4095UL, end = ((uintptr_t)address + offset + length) & ~4095UL;
  if (end > start && madvise((void *)start, end - start, MADV_DONTNEED) != 0)
    return throw_errno(env, "madvise(MADV_DONTNEED)", errno);
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

void define_memory(napi_env env, napi_value exports) {
  const napi_property_descriptor methods[] = {
      METHOD("allocateMemory", allocate_memory), METHOD("attachMemory", attach_memory),
      METHOD("memoryAddress", memory_address),   METHOD("releaseMemory", release_memory),
      METHOD("discardMemory", discard_memory),   METHOD("addressOf", address_of),
  };
  napi_define_properties(env, exports, sizeof methods / sizeof methods[0], methods);
}
