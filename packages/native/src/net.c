// Stream sockets: what io_uring does not set up by itself.
#include "addon.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// An address from text and port; throws and returns 0 if the text is no IPv4 or IPv6 address.
static socklen_t parse_address(napi_env env, const char *text, int port, struct sockaddr_storage *address) {
  struct sockaddr_in *v4 = (struct sockaddr_in *)address;
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
  memset(address, 0, sizeof *address);
  if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons((uint16_t)port);
    return sizeof *v4;
  }
  if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons((uint16_t)port);
    return sizeof *v6;
  }
  throw_range(env, "an address must be a numeric IPv4 or IPv6 address");
  return 0;
}

static int stream_socket(napi_env env, int family) {
  int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) throw_errno(env, "socket", errno);
  return fd;
}

// socketListen(address, port, backlog): the descriptor of a listening TCP socket.
static napi_value socket_listen(napi_env env, napi_callback_info info) {
  struct call call;
  char text[64];
  int64_t port, backlog;
  struct sockaddr_storage address;
  if (!get_call(env, info, &call) || !get_text(&call, 0, text, sizeof text) ||
      !get_integer(&call, 1, 0, 65535, &port) || !get_integer(&call, 2, 1, 65535, &backlog))
    return NULL;
  socklen_t length = parse_address(env, text, (int)port, &address);
  if (length == 0) return NULL;
  int fd = stream_socket(env, address.ss_family), on = 1;
  if (fd < 0) return NULL;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (address.ss_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  const char *failed = NULL;
  if (bind(fd, (struct sockaddr *)&address, length) != 0) failed = "bind";
  else if (listen(fd, (int)backlog) != 0) failed = "listen";
  if (failed == NULL) return make_number(env, fd);
  int error = errno;
  close(fd);
  return throw_errno(env, failed, error);
}

// socketConnect(address, port, from): the descriptor of a TCP socket whose connection is under way; `from` is the
// address of this side, or empty.
static napi_value socket_connect(napi_env env, napi_callback_info info) {
  struct call call;
  char text[64], from[64];
  int64_t port;
  struct sockaddr_storage address, local;
  socklen_t local_length = 0;
  if (!get_call(env, info, &call) || !get_text(&call, 0, text, sizeof text) ||
      !get_integer(&call, 1, 1, 65535, &port) || !get_text(&call, 2, from, sizeof from))
    return NULL;
  socklen_t length = parse_address(env, text, (int)port, &address);
  if (length == 0) return NULL;
  if (from[0] != 0) {
    local_length = parse_address(env, from, 0, &local);
    if (local_length == 0) return NULL;
  }
  int fd = stream_socket(env, address.ss_family), on = 1;
  if (fd < 0) return NULL;
  const char *failed = "connect";
  // The port is chosen when the peer is known: there are more of them then.
  if (local_length > 0) setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  if (local_length > 0 && bind(fd, (struct sockaddr *)&local, local_length) != 0) failed = "bind";
  else if (connect(fd, (struct sockaddr *)&address, length) == 0 || errno == EINPROGRESS) return make_number(env, fd);
  int error = errno;
  close(fd);
  return throw_errno(env, failed, error);
}

// socketShutdown(fd, how): how is 0 (receive), 1 (send) or 2 (both). A socket without a connection is left alone.
static napi_value socket_shutdown(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t fd, how;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd) || !get_integer(&call, 1, 0, 2, &how))
    return NULL;
  if (shutdown((int)fd, (int)how) != 0 && errno != ENOTCONN) return throw_errno(env, "shutdown", errno);
  return NULL;
}

// socketOption(fd, name, value): one of the options below. False if the system does not have it.
static napi_value socket_option(napi_env env, napi_callback_info info) {
  static const struct { const char *name; int level, option; } known[] = {
      {"noDelay", IPPROTO_TCP, TCP_NODELAY},
      {"quickAck", IPPROTO_TCP, TCP_QUICKACK},
      {"userTimeout_ms", IPPROTO_TCP, TCP_USER_TIMEOUT},
      {"sendBuffer", SOL_SOCKET, SO_SNDBUF},
      {"receiveBuffer", SOL_SOCKET, SO_RCVBUF},
      {"priority", SOL_SOCKET, SO_PRIORITY},
      {"busyPoll_us", SOL_SOCKET, SO_BUSY_POLL},
  };
  struct call call;
  char name[32];
  int64_t fd, value;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd) ||
      !get_text(&call, 1, name, sizeof name) || !get_integer(&call, 2, 0, INT32_MAX, &value))
    return NULL;
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
    if (strcmp(known[i].name, name) != 0) continue;
    int number = (int)value;
    return make_boolean(env, setsockopt((int)fd, known[i].level, known[i].option, &number, sizeof number) == 0);
  }
  return throw_range(env, "argument 2 is not a socket option that is known here");
}

// socketError(fd): the pending error (SO_ERROR), 0 if there is none.
static napi_value socket_error(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t fd;
  int error = 0;
  socklen_t length = sizeof error;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd)) return NULL;
  if (getsockopt((int)fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return throw_errno(env, "getsockopt", errno);
  return make_number(env, error);
}

static napi_value name_of(napi_env env, napi_callback_info info, const char *what,
                          int (*get)(int, struct sockaddr *, socklen_t *)) {
  struct call call;
  int64_t fd;
  struct sockaddr_storage address = {0};
  socklen_t length = sizeof address;
  char host[INET6_ADDRSTRLEN] = "";
  int port = 0;
  napi_value result, text;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd)) return NULL;
  if (get((int)fd, (struct sockaddr *)&address, &length) != 0) return throw_errno(env, what, errno);
  if (address.ss_family == AF_INET) {
    inet_ntop(AF_INET, &((struct sockaddr_in *)&address)->sin_addr, host, sizeof host);
    port = ntohs(((struct sockaddr_in *)&address)->sin_port);
  } else if (address.ss_family == AF_INET6) {
    inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&address)->sin6_addr, host, sizeof host);
    port = ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
  }
  if (napi_create_object(env, &result) != napi_ok ||
      napi_create_string_utf8(env, host, NAPI_AUTO_LENGTH, &text) != napi_ok)
    return NULL;
  napi_set_named_property(env, result, "address", text);
  set_number(env, result, "port", port);
  return result;
}

static int peer_name(int fd, struct sockaddr *address, socklen_t *length) { return getpeername(fd, address, length); }
static int own_name(int fd, struct sockaddr *address, socklen_t *length) { return getsockname(fd, address, length); }

// socketPeer(fd), socketName(fd): {address, port}
static napi_value socket_peer(napi_env env, napi_callback_info info) {
  return name_of(env, info, "getpeername", peer_name);
}
static napi_value socket_name(napi_env env, napi_callback_info info) {
  return name_of(env, info, "getsockname", own_name);
}

void define_net(napi_env env, napi_value exports) {
  const napi_property_descriptor methods[] = {
      METHOD("socketListen", socket_listen),     METHOD("socketConnect", socket_connect),
      METHOD("socketShutdown", socket_shutdown), METHOD("socketOption", socket_option),
      METHOD("socketError", socket_error),       METHOD("socketPeer", socket_peer),
      METHOD("socketName", socket_name),
  };
  napi_define_properties(env, exports, sizeof methods / sizeof methods[0], methods);
}
