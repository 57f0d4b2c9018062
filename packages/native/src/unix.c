// UNIX sockets, and what only they can do: passing descriptors to another process (SCM_RIGHTS).
#include "addon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

// What the kernel passes in one message at most (SCM_MAX_FD).
#define MAX_DESCRIPTORS 253

union control {
  struct cmsghdr header;
  char bytes[CMSG_SPACE(MAX_DESCRIPTORS * sizeof(int))];
};

// socketPair(): two connected UNIX stream sockets, [one, other].
static napi_value socket_pair(napi_env env, napi_callback_info info) {
  (void)info;
  int fds[2];
  napi_value pair;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0)
    return throw_errno(env, "socketpair", errno);
  if (napi_create_array_with_length(env, 2, &pair) != napi_ok) {
    close(fds[0]);
    close(fds[1]);
    return NULL;
  }
  for (uint32_t i = 0; i < 2; i++) napi_set_element(env, pair, i, make_number(env, fds[i]));
  return pair;
}

static napi_value unix_socket(napi_env env, napi_callback_info info, bool listening) {
  struct call call;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int64_t backlog = 1;
  if (!get_call(env, info, &call) || !get_text(&call, 0, address.sun_path, sizeof address.sun_path)) return NULL;
  // An empty path would bind to an abstract name of the kernel's choice.
  if (address.sun_path[0] == 0) return throw_range(env, "argument 1 must be a path");
  if (listening && !get_integer(&call, 1, 1, 65535, &backlog)) return NULL;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return throw_errno(env, "socket", errno);
  const char *failed = NULL;
  if (!listening) {
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) failed = "connect";
  } else if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) {
    failed = "bind";
  } else if (listen(fd, (int)backlog) != 0) {
    failed = "listen";
  }
  if (failed == NULL) return make_number(env, fd);
  int error = errno;
  close(fd);
  return throw_errno(env, failed, error);
}

// unixListen(path, backlog), unixConnect(path): descriptors of UNIX stream sockets.
static napi_value unix_listen(napi_env env, napi_callback_info info) { return unix_socket(env, info, true); }
static napi_value unix_connect(napi_env env, napi_callback_info info) { return unix_socket(env, info, false); }

// unixAccept(fd): the descriptor of the next connection of a listening socket, which does not block; -1 if there is none.
static napi_value unix_accept(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t fd;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd)) return NULL;
  int accepted = accept4((int)fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (accepted < 0 && errno != EAGAIN && errno != ECONNABORTED) return throw_errno(env, "accept4", errno);
  return make_number(env, accepted);
}

// sendDescriptors(fd, bytes, descriptors): sends bytes, and with the first of them the descriptors of an Int32Array.
// Returns the bytes sent; 0 if the socket takes nothing now. The caller's descriptors stay open.
static napi_value send_descriptors(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t fd;
  uint8_t *bytes, *list;
  size_t length, list_bytes;
  union control control;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd) ||
      !get_bytes(&call, 1, &bytes, &length) || !get_typed(&call, 2, napi_int32_array, &list, &list_bytes))
    return NULL;
  if (length == 0) return throw_range(env, "argument 2 must hold a byte at least");
  if (list_bytes > MAX_DESCRIPTORS * sizeof(int)) return throw_range(env, "253 descriptors can be passed at once");
  struct iovec piece = {.iov_base = bytes, .iov_len = length};
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
  if (list_bytes > 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = &control;
    message.msg_controllen = CMSG_SPACE(list_bytes);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(list_bytes)};
    memcpy(CMSG_DATA(header), list, list_bytes);
  }
  ssize_t sent = sendmsg((int)fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN) return throw_errno(env, "sendmsg", errno);
  return make_number(env, sent < 0 ? 0 : (double)sent);
}

// The descriptors that came with a message, up to MAX_DESCRIPTORS of them.
static size_t take_descriptors(struct msghdr *message, int *fds) {
  size_t count = 0;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL; header = CMSG_NXTHDR(message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    size_t here = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(fds + count, CMSG_DATA(header), here * sizeof(int));
    count += here;
  }
  return count;
}

static napi_value receive_result(napi_env env, ssize_t got, const int *fds, size_t count) {
  napi_value result, list;
  if (napi_create_object(env, &result) != napi_ok || napi_create_array_with_length(env, count, &list) != napi_ok)
    return NULL;
  for (size_t i = 0; i < count; i++)
    if (napi_set_element(env, list, (uint32_t)i, make_number(env, fds[i])) != napi_ok) return NULL;
  set_number(env, result, "bytes", (double)got);
  return napi_set_named_property(env, result, "descriptors", list) == napi_ok ? result : NULL;
}

// receiveDescriptors(fd, into): {bytes, descriptors}, or null if there is nothing now. No bytes: the peer has ended.
// The descriptors are the caller's to close; they are closed on exec.
static napi_value receive_descriptors(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t fd;
  uint8_t *bytes;
  size_t length;
  union control control;
  int fds[MAX_DESCRIPTORS];
  napi_value result;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd) ||
      !get_bytes(&call, 1, &bytes, &length))
    return NULL;
  if (length == 0) return throw_range(env, "argument 2 must have room for a byte at least");
  struct iovec piece = {.iov_base = bytes, .iov_len = length};
  struct msghdr message = {
      .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t got = recvmsg((int)fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0 && errno == EAGAIN) return napi_get_null(env, &result) == napi_ok ? result : NULL;
  if (got < 0) return throw_errno(env, "recvmsg", errno);
  size_t count = take_descriptors(&message, fds);
  bool cut = (message.msg_flags & MSG_CTRUNC) != 0;
  result = cut ? NULL : receive_result(env, got, fds, count);
  if (result != NULL) return result;
  for (size_t i = 0; i < count; i++) close(fds[i]);
  return throw_errno(env, cut ? "recvmsg: descriptors were lost (limit of open files)" : "recvmsg", EMFILE);
}

void define_unix(napi_env env, napi_value exports) {
  const napi_property_descriptor methods[] = {
      METHOD("socketPair", socket_pair),
      METHOD("unixListen", unix_listen),
      METHOD("unixConnect", unix_connect),
      METHOD("unixAccept", unix_accept),
      METHOD("sendDescriptors", send_descriptors),
      METHOD("receiveDescriptors", receive_descriptors),
  };
  napi_define_properties(env, exports, sizeof methods / sizeof methods[0], methods);
}
