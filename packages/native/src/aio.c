// Kernel AIO (io_setup and its kin), without libaio. JavaScript fills iocbs in memory of its own and finds what has
// completed in the ring that the kernel maps into the process, so that a poll costs one call, and that only when it
// has something to submit.
#include "addon.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define AIO_ENTRIES_MAX 65536

// What the kernel keeps at the address that is the context's name.
struct completion_ring {
  uint32_t id, nr, head, tail, magic, compat_features, incompat_features, header_length;
  struct io_event events[];
};
#define RING_MAGIC 0xa10a10a1u

struct aio {
  aio_context_t id;
  uint32_t entries;
  // The context's object and the ring's ArrayBuffer: the kernel's ring is there as long as one of them is.
  unsigned users;
  bool destroyed;
  napi_ref ring;
  struct iocb *pointers[];
};

static const napi_type_tag context_tag = {0x5c18f0927ad34be1, 0x8e6b24d19f0c73a5};

static void end_context(struct aio *aio) {
  if (!aio->destroyed) syscall(SYS_io_destroy, aio->id);
  aio->destroyed = true;
}

static void drop(struct aio *aio) {
  if (--aio->users > 0) return;
  end_context(aio);
  free(aio);
}

static void drop_ring(napi_env env, void *data, void *hint) {
  (void)env;
  (void)data;
  drop(hint);
}

static void drop_context(napi_env env, void *data, void *hint) {
  struct aio *aio = data;
  (void)hint;
  if (aio->ring != NULL) napi_delete_reference(env, aio->ring);
  aio->ring = NULL;
  drop(aio);
}

// aioSetup(entries): {context, ring}: the ring is the kernel's, as mapped: eight words, then events of 32 bytes.
static napi_value aio_setup(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t entries;
  napi_value result, context, ring;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 1, AIO_ENTRIES_MAX, &entries)) return NULL;
  struct aio *aio = calloc(1, sizeof *aio + (size_t)entries * sizeof aio->pointers[0]);
  if (aio == NULL) return throw_errno(env, "malloc", ENOMEM);
  aio->entries = (uint32_t)entries;
  if (syscall(SYS_io_setup, (unsigned)entries, &aio->id) != 0) {
    int error = errno;
    free(aio);
    return throw_errno(env, "io_setup", error);
  }
  struct completion_ring *mapped = (struct completion_ring *)aio->id;
  if (mapped->magic != RING_MAGIC || mapped->incompat_features != 0 || mapped->header_length != sizeof *mapped) {
    end_context(aio);
    free(aio);
    return throw_errno(env, "io_setup: the ring is not of the known form", ENOSYS);
  }
  size_t length = sizeof *mapped + (size_t)mapped->nr * sizeof(struct io_event);
  aio->users = 1;
  context = make_handle(env, &context_tag, aio, drop_context);
  if (context == NULL) return NULL;
  aio->users++;
  if (napi_create_external_arraybuffer(env, mapped, length, drop_ring, aio, &ring) != napi_ok) {
    aio->users--;
    return throw_errno(env, "aioSetup", ENOMEM);
  }
  if (napi_create_reference(env, ring, 1, &aio->ring) != napi_ok || napi_create_object(env, &result) != napi_ok)
    return NULL;
  napi_set_named_property(env, result, "context", context);
  napi_set_named_property(env, result, "ring", ring);
  return result;
}

static struct aio *get_context(struct call *call) {
  struct aio *aio = get_handle(call, 0, &context_tag, "an AIO context");
  if (aio == NULL || !aio->destroyed) return aio;
  napi_throw_type_error(call->env, "ERR_INVALID_ARG_TYPE", "argument 1 is an AIO context that was destroyed");
  return NULL;
}

// aioSubmit(context, iocbs, order, count): submits the iocbs (64 bytes each) whose numbers are order[0 … count).
// Returns how many were taken, from the first on, or the negative errno of the first where none was: EAGAIN is
// ordinary, others concern that iocb alone.
static napi_value aio_submit(napi_env env, napi_callback_info info) {
  struct call call;
  uint8_t *iocbs, *order;
  size_t iocbs_bytes, order_bytes;
  int64_t count;
  if (!get_call(env, info, &call)) return NULL;
  struct aio *aio = get_context(&call);
  if (aio == NULL || !get_bytes(&call, 1, &iocbs, &iocbs_bytes) || !get_bytes(&call, 2, &order, &order_bytes) ||
      !get_integer(&call, 3, 1, aio->entries, &count))
    return NULL;
  if ((uintptr_t)iocbs % 8 != 0 || (uintptr_t)order % 4 != 0 || (size_t)count * 4 > order_bytes)
    return throw_range(env, "iocbs and order must be aligned, and order must hold as many numbers as are to be submitted");
  for (int64_t i = 0; i < count; i++) {
    uint32_t number = ((uint32_t *)order)[i];
    if (number >= iocbs_bytes / sizeof(struct iocb)) return throw_range(env, "order names an iocb that does not exist");
    aio->pointers[i] = (struct iocb *)iocbs + number;
  }
  long result = syscall(SYS_io_submit, aio->id, (long)count, aio->pointers);
  return make_number(env, result < 0 ? -errno : result);
}

// aioDestroy(context): waits for what is under way, and takes the ring's memory away.
static napi_value aio_destroy(napi_env env, napi_callback_info info) {
  struct call call;
  napi_value ring;
  if (!get_call(env, info, &call)) return NULL;
  struct aio *aio = get_context(&call);
  if (aio == NULL) return NULL;
  // Views of the ring have no elements from here on; without that they would be of memory that is gone.
  if (napi_get_reference_value(env, aio->ring, &ring) != napi_ok || napi_detach_arraybuffer(env, ring) != napi_ok)
    return throw_errno(env, "aioDestroy", EBUSY);
  end_context(aio);
  return NULL;
}

void define_aio(napi_env env, napi_value exports) {
  const napi_property_descriptor methods[] = {
      METHOD("aioSetup", aio_setup),
      METHOD("aioSubmit", aio_submit),
      METHOD("aioDestroy", aio_destroy),
  };
  napi_define_properties(env, exports, sizeof methods / sizeof methods[0], methods);
}
