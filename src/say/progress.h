#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "store/base/progress.h"

namespace ollamafs {

// How far a work has come.
struct ProgressState {
  std::uint64_t done = 0;      // bytes
  std::uint64_t expected = 0;  // bytes; 0: unknown
  std::uint64_t item = 0;      // the one that is being done, counted from 1
  std::uint64_t items = 0;     // 0: unknown
  double rate = 0;             // bytes a second; 0: not known yet
  std::string name{};          // of the item
};

// One line of at most `width` bytes, the most important first:
// " 42%  1.3 GB of 3.1 GB  512 MB/s  4 s left  blob 3 of 12". Parts that do not fit are left out.
[[nodiscard]] std::string progress_line(const ProgressState& state, std::size_t width);

// Shows progress in one line of a terminal, which is written again and again: from a while after
// the beginning on, so that nothing is seen of what is done in a moment. Gone with this. Throws
// Interrupted as Progress says.
class TerminalProgress final : public Progress {
 public:
  using Clock = std::chrono::steady_clock;

  // `terminal` is a descriptor of it, which must stay open.
  explicit TerminalProgress(int terminal, Clock::duration wait = std::chrono::seconds{1});
  ~TerminalProgress() override;

  void expect(std::uint64_t bytes, std::uint64_t items) override;
  void next(std::string_view name) override;
  void add(std::uint64_t bytes) override;

 private:
  void draw(Clock::time_point now);
  void measure(Clock::time_point now);
  void rewrite(const std::string& line);

  const int terminal_;
  std::atomic<std::uint64_t> done_ = 0;
  std::atomic<Clock::rep> next_draw_;  // since the clock's epoch
  std::mutex mutex_;                   // of all below
  ProgressState state_;
  Clock::time_point measured_at_;
  std::uint64_t measured_ = 0;
  std::size_t drawn_ = 0;  // how many bytes the line has that is on the terminal
};

// What a command tells its progress to: the terminal that is its standard error, or else, and with
// `quiet`, nobody. In each case the work ends by Interrupted when InterruptGuard has had a signal.
// Its line is gone when it is: print to the terminal after that.
[[nodiscard]] std::unique_ptr<Progress> make_progress(bool quiet);

}  // namespace ollamafs
