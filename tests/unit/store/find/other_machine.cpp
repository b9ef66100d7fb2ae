#include "tests/unit/store/find/other_machine.h"

#include <grp.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <exception>
#include <fstream>
#include <iterator>
#include <optional>

namespace ollamafs::test {

namespace fs = std::filesystem;

OtherMachine::~OtherMachine() {
  for (const fs::path& path : closed_) ::chmod(path.c_str(), 0755);
}

void OtherMachine::write(const fs::path& path, const std::string& text) const {
  fs::create_directories(on_disk(path).parent_path());
  std::ofstream{on_disk(path)} << text;
}

void OtherMachine::link(const fs::path& path, const fs::path& target) const {
  fs::create_directories(on_disk(path).parent_path());
  fs::create_symlink(target, on_disk(path));
}

void OtherMachine::make_empty_store(const fs::path& path) const {
  fs::create_directories(on_disk(path) / "blobs");
}

void OtherMachine::close(const fs::path& path) {
  ASSERT_EQ(::chmod(path.c_str(), 0), 0);
  closed_.push_back(path);
}

void OtherMachine::add_process(int pid, uid_t uid, const std::vector<std::string>& arguments,
                               const std::vector<std::string>& environment,
                               const std::string& comm) const {
  const auto joined = [](const std::vector<std::string>& strings) {
    std::string bytes;
    for (const std::string& text : strings) bytes += text + '\0';
    return bytes;
  };
  const std::string process = "proc/" + std::to_string(pid);
  const std::string id = std::to_string(uid);
  write(process + "/comm", comm + "\n");
  write(process + "/cmdline", joined(arguments));
  write(process + "/environ", joined(environment));
  write(process + "/status", "Name:\tx\nUid:\t0\t" + id + "\t0\t0\nGid:\t0\t0\t0\t0\n");
  link(process + "/cwd", "/cwd");
  link(process + "/ns/mnt", "mnt:[1]");
}

void OtherMachine::add_server(int pid, const std::vector<std::string>& environment,
                              uid_t uid) const {
  add_process(pid, uid, {"/usr/bin/ollama", "serve"}, environment);
}

void OtherMachine::add_unit(const std::string& lines) const {
  write("/etc/systemd/system/ollama.service", "[Service]\n" + lines);
}

Host OtherMachine::host() const {
  const auto look_up = [](const auto& map, const std::string& key) {
    const auto entry = map.find(key);
    return entry == map.end() ? std::nullopt : std::optional{entry->second};
  };
  Host host;
  host.root = root_.path();
  host.environment = [=, this](const std::string& name) { return look_up(environment_, name); };
  host.home_of = [=, this](const std::string& user) { return look_up(homes_, user); };
  host.sudo_user = sudo_user_;
  host.uid = kUs;
  return host;
}

StoreChoice OtherMachine::find(const fs::path& given) const {
  return find_store(given, host());
}

fs::path OtherMachine::found(const fs::path& given) const {
  return find(given).taken.path;
}

std::string OtherMachine::error(const fs::path& given) const try {
  return "found " + found(given).string();
} catch (const StoreNotFound& e) {
  return e.what();
}

std::string OtherMachine::told_to_user(const fs::path& given) const {
  const fs::path answer = root_ / "answer";
  const pid_t child = ::fork();
  if (child == 0) {
    std::ofstream out{answer};
    const bool changed = ::geteuid() != 0 || (::setgroups(0, nullptr) == 0 &&
                                              ::setgid(65534) == 0 && ::setuid(65534) == 0);
    try {
      out << (changed ? find(given).reason : "no other user") << std::flush;
    } catch (const std::exception& e) {
      out << e.what() << std::flush;
    }
    ::_exit(0);
  }
  ::waitpid(child, nullptr, 0);
  std::ifstream in{answer};
  return {std::istreambuf_iterator<char>{in}, {}};
}

}  // namespace ollamafs::test
