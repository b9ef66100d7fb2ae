#include "src/mount/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstdlib>

#include "store/base/unique_fd.h"

namespace ollamafs {

ServiceManager ServiceManager::of_this_process() {
  ServiceManager manager;
  const char* const name = std::getenv("NOTIFY_SOCKET");
  const std::string socket = name ? name : "";
  if (socket.size() < 2 || socket.size() >= sizeof(sockaddr_un::sun_path)) return manager;
  if (socket.front() != '/' && socket.front() != '@') return manager;
  manager.socket_ = socket;
  if (socket.front() == '@') manager.socket_.front() = '\0';
  return manager;
}

void ServiceManager::tell(std::string_view state) const noexcept {
  if (socket_.empty()) return;
  const UniqueFd socket{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  if (!socket) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socket_.copy(address.sun_path, sizeof address.sun_path);
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
  (void)::sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL,
                 reinterpret_cast<const sockaddr*>(&address), length);
}

}  // namespace ollamafs
