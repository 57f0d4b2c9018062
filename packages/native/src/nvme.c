// NVMe devices through the kernel's driver: which namespace a device is, and Identify. I/O commands go through a ring
// (IORING_OP_URING_CMD), which needs no call here.
#include "addon.h"

#include <errno.h>
#include <linux/nvme_ioctl.h>
#include <string.h>
#include <sys/ioctl.h>

#define IDENTIFY_OPCODE 0x06
#define IDENTIFY_BYTES 4096

// nvmeNamespace(fd): the NSID of an NVMe namespace's device, or a negative errno (ENOTTY for anything else).
static napi_value nvme_namespace(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t fd;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd)) return NULL;
  int nsid = ioctl((int)fd, NVME_IOCTL_ID);
  return make_number(env, nsid < 0 ? -errno : nsid);
}

// nvmeIdentify(fd, nsid, cns, csi, into): the data structure of an Identify command into 4096 bytes. 0, the status of
// NVMe that it ended with, or a negative errno. Blocks.
static napi_value nvme_identify(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t fd, nsid, cns, csi;
  uint8_t *into;
  size_t length;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd) ||
      !get_integer(&call, 1, 0, UINT32_MAX, &nsid) || !get_integer(&call, 2, 0, UINT8_MAX, &cns) ||
      !get_integer(&call, 3, 0, UINT8_MAX, &csi) || !get_bytes(&call, 4, &into, &length))
    return NULL;
  if (length < IDENTIFY_BYTES) return throw_range(env, "argument 5 must have room for 4096 bytes");
  struct nvme_admin_cmd command;
  memset(&command, 0, sizeof command);
  command.opcode = IDENTIFY_OPCODE;
  command.nsid = (uint32_t)nsid;
  command.addr = (uintptr_t)into;
  command.data_len = IDENTIFY_BYTES;
  command.cdw10 = (uint32_t)cns;
  command.cdw11 = (uint32_t)csi << 24;
  int status = ioctl((int)fd, NVME_IOCTL_ADMIN_CMD, &command);
  return make_number(env, status < 0 ? -errno : status);
}

void define_nvme(napi_env env, napi_value exports) {
  const napi_property_descriptor methods[] = {
      METHOD("nvmeNamespace", nvme_namespace),
      METHOD("nvmeIdentify", nvme_identify),
  };
  napi_define_properties(env, exports, sizeof methods / sizeof methods[0], methods);
}
