#include "tests/soak/crew.h"

#include <cstdlib>
#include <exception>
#include <stdexcept>

#include "tests/support/process.h"

namespace ollamafs::test {

std::chrono::seconds soak_time() {
  const char* const seconds = std::getenv("OLLAMAFS_SOAK_SECONDS");
  return std::chrono::seconds{seconds ? std::stoi(seconds) : 3};
}

void Crew::add(int workers, const Step& step) {
  for (int i = 0; i < workers; ++i) {
    workers_.emplace_back([this, step, seed = workers_.size()] { repeat(step, seed); });
  }
}

void Crew::repeat(const Step& step, std::uint64_t seed) {
  Random random{seed};
  while (!dismissed_) {
    std::string fault;
    try {
      fault = step(random);
    } catch (const std::exception& error) {
      fault = error.what();
    }
    ++steps_;
    if (fault.empty()) continue;
    const std::scoped_lock lock{mutex_};
    if (fault_.empty()) fault_ = fault;
    return;
  }
}

void Crew::work_for(std::chrono::milliseconds time) {
  (void)eventually([this] { return !fault().empty(); }, time);
}

void Crew::work_until(const std::function<bool()>& enough, std::chrono::milliseconds limit) {
  (void)eventually([&] { return enough() || !fault().empty(); }, limit);
}

void Crew::dismiss() {
  dismissed_ = true;
  for (std::thread& worker : workers_) {
    if (worker.joinable()) worker.join();
  }
}

std::string Crew::fault() const {
  const std::scoped_lock lock{mutex_};
  return fault_;
}

}  // namespace ollamafs::test
