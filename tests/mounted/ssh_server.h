#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {

// A real sshd on loopback, as the other machine that people copy models to. It lets root in by a
// key that is made for it, has a host key and configurations of its own, and so touches nothing of
// this machine's ssh. Its sessions see what the test sees, mounts included. Ended with this.
//
// Throws std::runtime_error with sshd's own words if it does not answer. Needs the test's private
// mount namespace.
class SshServer {
 public:
  SshServer();
  ~SshServer();
  SshServer(const SshServer&) = delete;
  SshServer& operator=(const SshServer&) = delete;

  // The name that leads here, with the client's configuration: ssh -F CONFIG kHost.
  static constexpr const char* kHost = "target";
  [[nodiscard]] std::string config() const { return (dir_ / "ssh_config").string(); }

  // sshd's log so far.
  [[nodiscard]] std::string log() const { return daemon_->err(); }

 private:
  class RootMayLogIn;

  void make_key(const std::string& name) const;
  void start(int port);

  TempDir dir_;
  std::unique_ptr<RootMayLogIn> root_may_log_in_;
  std::unique_ptr<Background> daemon_;
};

}  // namespace ollamafs::test
