// Zoned block devices (linux/blkzoned.h): what zones there are, and what can be done with them. Sectors have 512 bytes.
// The calls block until the device has done it.
#include "addon.h"

#include <errno.h>
#include <linux/blkzoned.h>
#include <string.h>
#include <sys/ioctl.h>

#ifndef BLKOPENZONE
#define BLKOPENZONE _IOW(0x12, 134, struct blk_zone_range)
#define BLKCLOSEZONE _IOW(0x12, 135, struct blk_zone_range)
#define BLKFINISHZONE _IOW(0x12, 136, struct blk_zone_range)
#endif

// zoneReport(fd, sector, into): BLKREPORTZONE from the zone that `sector` is in: a header of 16 bytes and 64 bytes for
// each zone (struct blk_zone_report), as many as there is room for. Their number, or a negative errno.
static napi_value zone_report(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t fd, sector;
  uint8_t *into;
  size_t length;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd) ||
      !get_integer(&call, 1, 0, MAX_SAFE, &sector) || !get_bytes(&call, 2, &into, &length))
    return NULL;
  struct blk_zone_report *report = (struct blk_zone_report *)into;
  if ((uintptr_t)into % 8 != 0 || length < sizeof *report + sizeof(struct blk_zone))
    return throw_range(env, "argument 3 must be aligned to 8 bytes and have room for a zone (80 bytes)");
  size_t zones = (length - sizeof *report) / sizeof(struct blk_zone);
  memset(report, 0, sizeof *report);
  report->sector = (uint64_t)sector;
  report->nr_zones = zones > UINT32_MAX ? UINT32_MAX : (uint32_t)zones;
  if (ioctl((int)fd, BLKREPORTZONE, report) != 0) return make_number(env, -errno);
  return make_number(env, report->nr_zones);
}

// zoneManage(fd, action, sector, sectors): closes (0), finishes (1), opens (2) or resets (3) the zones of a range: 0, or
// a negative errno.
static napi_value zone_manage(napi_env env, napi_callback_info info) {
  static const unsigned long requests[] = {BLKCLOSEZONE, BLKFINISHZONE, BLKOPENZONE, BLKRESETZONE};
  struct call call;
  int64_t fd, action, sector, sectors;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd) ||
      !get_integer(&call, 1, 0, 3, &action) || !get_integer(&call, 2, 0, MAX_SAFE, &sector) ||
      !get_integer(&call, 3, 1, MAX_SAFE, &sectors))
    return NULL;
  struct blk_zone_range range = {.sector = (uint64_t)sector, .nr_sectors = (uint64_t)sectors};
  return make_number(env, ioctl((int)fd, requests[action], &range) == 0 ? 0 : -errno);
}

void define_zoned(napi_env env, napi_value exports) {
  const napi_property_descriptor methods[] = {
      METHOD("zoneReport", zone_report),
      METHOD("zoneManage", zone_manage),
  };
  napi_define_properties(env, exports, sizeof methods / sizeof methods[0], methods);
}
