#pragma once

#include <string>
#include <string_view>

namespace ollamafs {

// Who started this process as a service and wants to be told how it goes, as systemd does with
// Type=notify (sd_notify(3)). Safe to use from several threads.
class ServiceManager {
 public:
  // Nobody, who is told nothing.
  ServiceManager() = default;

  // The one at NOTIFY_SOCKET; nobody where that is not set, or is no socket of this machine's.
  [[nodiscard]] static ServiceManager of_this_process();

  // Tells it a state, "READY=1".
  void tell(std::string_view state) const noexcept;

 private:
  std::string socket_;  // as a sockaddr_un has it: an abstract one begins with NUL
};

}  // namespace ollamafs
