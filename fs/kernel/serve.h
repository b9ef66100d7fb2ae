#pragma once

#include <cerrno>
#include <new>
#include <system_error>

#include "fs/kernel/fuse.h"
#include "fs/kernel/fuse_driver.h"

namespace ollamafs {

// What the operations have in common. All of it before the reply, which ends the request.

[[nodiscard]] inline Driver& driver(fuse_req_t req) noexcept {
  return *static_cast<Driver*>(fuse_req_userdata(req));
}

// Who asks.
[[nodiscard]] inline Tool tool_of(fuse_req_t req) noexcept {
  return Tool::of_thread(fuse_req_ctx(req)->pid);
}

// 0 for no error; EIO for what is no errno.
[[nodiscard]] inline int to_errno(const std::error_code& ec) noexcept {
  const std::error_condition condition = ec.default_error_condition();
  return condition.category() == std::generic_category() ? condition.value() : EIO;
}

// Runs one operation, about `node` if that is not empty. `operation` either replies and returns no
// error, or returns one or throws and has not replied: then this does.
template <class Operation>
void serve(fuse_req_t req, const NodeRef& node, Operation&& operation) noexcept {
  FileSystem& fs = driver(req).file_system;
  int error = EIO;
  try {
    error = to_errno(operation(fs));
  } catch (const std::bad_alloc&) {
    error = ENOMEM;
  } catch (const std::system_error& failure) {
    error = to_errno(failure.code());
  } catch (...) {
    error = EIO;
  }
  if (error == 0) return;
  const bool is_given_up = error == EINTR && fuse_req_interrupted(req) != 0;
  if (node && !is_given_up) fs.request_failed(node, tool_of(req), error);
  fuse_reply_err(req, error);
}

}  // namespace ollamafs
