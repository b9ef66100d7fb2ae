#include "tests/mounted/ssh_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "store/base/unique_fd.h"
#include "tests/support/store_builder.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& what) {
  throw std::runtime_error{what + ": " + std::strerror(errno)};
}

// A port of 127.0.0.1 that nobody listens on right now.
int free_port() {
  const UniqueFd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* any = reinterpret_cast<sockaddr*>(&address);
  if (!fd || ::bind(fd.get(), any, size) != 0 || ::getsockname(fd.get(), any, &size) != 0) {
    fail("a port on loopback");
  }
  return ntohs(address.sin_port);
}

// sshd starts itself anew for every session and wants to be called by its full path.
std::string sshd_path() {
  for (const char* path : {"/usr/sbin/sshd", "/usr/bin/sshd", "/usr/local/sbin/sshd"}) {
    if (::access(path, X_OK) == 0) return path;
  }
  throw std::runtime_error{"sshd is not installed: these tests need it"};
}

constexpr const char* kServerConfig = R"(ListenAddress 127.0.0.1
Port {port}
HostKey "{dir}/host"
AuthorizedKeysFile "{dir}/client.pub"
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitUserRC no
PrintMotd no
Subsystem sftp internal-sftp
)";

constexpr const char* kClientConfig = R"(Host {host}
HostName 127.0.0.1
Port {port}
User root
IdentityFile "{dir}/client"
IdentitiesOnly yes
IdentityAgent none
UserKnownHostsFile "{dir}/known"
GlobalKnownHostsFile none
StrictHostKeyChecking yes
UpdateHostKeys no
BatchMode yes
)";

}  // namespace

// Without PAM, sshd refuses a root whose password is locked by '!', as many installations have it,
// even by key. In this mount namespace root's password is '*': none, but not locked.
class SshServer::RootMayLogIn {
 public:
  explicit RootMayLogIn(const fs::path& shadow) {
    write_file(shadow, "root:*:19000:0:99999:7:::\n");
    fs::permissions(shadow, fs::perms{0600});
    if (::mount(shadow.c_str(), kShadow, nullptr, MS_BIND, nullptr) != 0) fail(kShadow);
  }
  ~RootMayLogIn() { ::umount2(kShadow, MNT_DETACH); }
  RootMayLogIn(const RootMayLogIn&) = delete;
  RootMayLogIn& operator=(const RootMayLogIn&) = delete;

 private:
  static constexpr const char* kShadow = "/etc/shadow";
};

SshServer::SshServer() : root_may_log_in_{std::make_unique<RootMayLogIn>(dir_ / "shadow")} {
  // Where sshd puts the part of itself that talks to strangers. The system's start-up makes it, but
  // this machine may never have started sshd. It stays: other tests' servers may be using it.
  fs::create_directories("/run/sshd");
  make_key("host");
  make_key("client");
  // Between the choice of a port and its use somebody else may take it.
  for (int tries = 0; tries < 5 && (!daemon_ || daemon_->ended()); ++tries) start(free_port());
  if (daemon_->ended()) throw std::runtime_error{"sshd did not start: " + log()};
  const Result answer = run({"ssh", "-F", config(), kHost, "true"});
  if (answer.status != 0) {
    throw std::runtime_error{"sshd does not answer: " + answer.err + log()};
  }
}

SshServer::~SshServer() {
  daemon_->signal(SIGTERM);
  (void)daemon_->wait(std::chrono::seconds{10});
}

void SshServer::make_key(const std::string& name) const {
  must({"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", (dir_ / name).string()});
}

void SshServer::start(int port) {
  const auto write = [&](const char* name, const char* text) {
    write_file(dir_ / name, fmt::format(fmt::runtime(text), fmt::arg("dir", dir_.path().string()),
                                        fmt::arg("host", kHost), fmt::arg("port", port)));
  };
  write("sshd_config", kServerConfig);
  write("ssh_config", kClientConfig);
  write_file(dir_ / "known", fmt::format("[127.0.0.1]:{} {}", port, read_file(dir_ / "host.pub")));
  daemon_ = std::make_unique<Background>(
      std::vector<std::string>{sshd_path(), "-D", "-e", "-f", (dir_ / "sshd_config").string()});
  eventually(
      [this] { return daemon_->ended() || log().find("listening on") != std::string::npos; });
}

}  // namespace ollamafs::test
