#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace ollamafs::test {

using Random = std::mt19937_64;

// How long each test goes on.
[[nodiscard]] std::chrono::seconds soak_time();

// Workers at the same work or at different ones, all at once: readers, and whoever is to disturb
// them. Each does its step again and again until the crew is dismissed, or until one of them has
// found something wrong.
class Crew {
 public:
  // Returns what is wrong; empty: nothing.
  using Step = std::function<std::string(Random& random)>;

  Crew() = default;
  ~Crew() { dismiss(); }
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  void add(int workers, const Step& step);

  // Waits so long; shorter if something is wrong.
  void work_for(std::chrono::milliseconds time);

  // Waits until it is enough, at most so long; shorter if something is wrong.
  void work_until(const std::function<bool()>& enough,
                  std::chrono::milliseconds limit = std::chrono::minutes{1});

  // Lets everybody end their step.
  void dismiss();

  [[nodiscard]] std::uint64_t steps() const { return steps_; }
  [[nodiscard]] std::string fault() const;  // the first one

 private:
  void repeat(const Step& step, std::uint64_t seed);

  std::atomic<bool> dismissed_ = false;
  std::atomic<std::uint64_t> steps_ = 0;
  mutable std::mutex mutex_;
  std::string fault_;
  std::vector<std::thread> workers_;
};

}  // namespace ollamafs::test
