#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace ollamafs::test {

// Whom a command runs as: "nobody", "games"; they must be in the password file.
struct User {
  std::string name;
  uid_t uid = 0;
  gid_t gid = 0;

  static User named(const std::string& name);
};

struct RunOptions {
  std::optional<User> as{};  // without supplementary groups
  std::filesystem::path directory{};
  std::map<std::string, std::string> environment{};  // beside what the test has
  std::string input{};
  std::optional<unsigned> descriptors{};  // ulimit -n, soft and hard
  std::chrono::seconds timeout{120};
};

struct Result {
  int status = -1;  // exit status, or 128 + signal
  std::string out;
  std::string err;
};

// Runs a program (found in PATH) to its end, in a process group of its own. A program that takes
// longer than the timeout is killed with its group, which is a failure of the test; one that cannot
// be started throws.
Result run(const std::vector<std::string>& command, const RunOptions& options = {});

// Runs a line of sh.
Result shell(const std::string& line, const RunOptions& options = {});

// As run, but throws unless the status is 0: for steps whose failure leaves nothing to test.
// Returns what was printed on stdout.
std::string must(const std::vector<std::string>& command, const RunOptions& options = {});

// A program that runs beside the test, in a process group of its own. Ended, by its process id,
// with this.
class Background {
 public:
  Background(const std::vector<std::string>& command, const RunOptions& options = {});
  ~Background();
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  [[nodiscard]] std::string err() const;  // what it has printed on stderr so far
  void signal(int number) const;

  // Its status if it has ended.
  [[nodiscard]] std::optional<int> ended();
  // Waits for its end, at most so long.
  [[nodiscard]] std::optional<int> wait(std::chrono::seconds timeout);

 private:
  pid_t pid_ = -1;
  std::optional<int> status_;
  std::filesystem::path err_file_;
};

// Calls `condition` every few milliseconds until it holds or the time is over; tells which.
template <class Condition>
bool eventually(Condition&& condition,
                std::chrono::milliseconds timeout = std::chrono::seconds{20});

void sleep_a_little();

template <class Condition>
bool eventually(Condition&& condition, std::chrono::milliseconds timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    sleep_a_little();
  }
  return true;
}

}  // namespace ollamafs::test
