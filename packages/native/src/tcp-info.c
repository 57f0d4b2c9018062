// What the kernel knows of a TCP connection. In a file of its own: linux/tcp.h and netinet/tcp.h exclude each other.
#include "addon.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

// socketAcknowledged(fd): bytes of a TCP connection that its peer has acknowledged, since its start.
static napi_value socket_acknowledged(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t fd;
  struct tcp_info tcp = {0};
  socklen_t length = sizeof tcp;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd)) return NULL;
  if (getsockopt((int)fd, IPPROTO_TCP, TCP_INFO, &tcp, &length) != 0) return throw_errno(env, "getsockopt(TCP_INFO)", errno);
  return make_number(env, (double)tcp.tcpi_bytes_acked);
}

void define_tcp_info(napi_env env, napi_value exports) {
  const napi_property_descriptor methods[] = {METHOD("socketAcknowledged", socket_acknowledged)};
  napi_define_properties(env, exports, sizeof methods / sizeof methods[0], methods);
}
