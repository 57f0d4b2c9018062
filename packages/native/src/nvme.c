// NVMe devices through the kernel's driver: which namespace a device is, and Admin commands. I/O commands go through a ring
// (IORING_OP_URING_CMD), which needs no call here.
#include "addon.h"

#include <errno.h>
#include <linux/nvme_ioctl.h>
#include <string.h>
#include <sys/ioctl.h>

// nvmeNamespace(fd): the NSID of an NVMe namespace's device, or a negative errno (ENOTTY for anything else).
static napi_value nvme_namespace(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t fd;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd)) return NULL;
  int nsid = ioctl((int)fd, NVME_IOCTL_ID);
  return make_number(env, nsid < 0 ? -errno : nsid);
}

// nvmeAdmin(fd, command, data): an Admin command, a struct nvme_passthru_cmd of 72 bytes whose addresses and lengths are
// not taken from it; `data` is empty for one without. 0, the status of NVMe that it ended with, or a negative errno; its
// dword 0 is then in the last word of the command. Blocks.
static napi_value nvme_admin(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t fd;
  uint8_t *words, *data = NULL;
  size_t length, bytes = 0;
  struct nvme_passthru_cmd command;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd) ||
      !get_bytes(&call, 1, &words, &length) || !get_bytes(&call, 2, &data, &bytes))
    return NULL;
  if (length != sizeof command) return throw_range(env, "argument 2 must have 72 bytes");
  if (bytes > UINT32_MAX) return throw_range(env, "argument 3 is too long");
  memcpy(&command, words, sizeof command);
  command.metadata = 0;
  command.metadata_len = 0;
  command.addr = bytes == 0 ? 0 : (uintptr_t)data;
  command.data_len = (uint32_t)bytes;
  int status = ioctl((int)fd, NVME_IOCTL_ADMIN_CMD, &command);
  if (status < 0) status = -errno;
  memcpy(words + sizeof command - sizeof command.result, &command.result, sizeof command.result);
  return make_number(env, status);
}

void define_nvme(napi_env env, napi_value exports) {
  const napi_property_descriptor methods[] = {
      METHOD("nvmeNamespace", nvme_namespace),
      METHOD("nvmeAdmin", nvme_admin),
  };
  napi_define_properties(env, exports, sizeof methods / sizeof methods[0], methods);
}
