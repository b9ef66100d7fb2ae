#include "src/say/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "src/say/human.h"
#include "src/say/interrupt.h"

namespace ollamafs {
namespace {

constexpr std::chrono::milliseconds kDrawEvery{200};
constexpr double kSmoothing = 3;  // seconds: what was longer ago hardly counts for the rate

std::string size_text(double bytes) {
  return human_size(static_cast<std::int64_t>(std::min(bytes, 9e18)));
}

std::string time_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::ceil(std::min(seconds, 1e9)));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{}:{:02} min", whole / 60, whole % 60);
  return fmt::format("{}:{:02} h", whole / 3600, whole / 60 % 60);
}

std::string done_text(const ProgressState& state) {
  const auto done = static_cast<double>(state.done);
  const auto expected = static_cast<double>(state.expected);
  if (state.expected == 0) return size_text(done);
  const double share = std::min(done / expected, 1.0);
  return fmt::format("{:3.0f}%  {} of {}", std::floor(share * 100), size_text(done),
                     size_text(expected));
}

std::size_t columns_of(int terminal) {
  winsize size{};
  return ::ioctl(terminal, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

// Not while the user works with another program there, after `ollamafs … &`.
bool is_in_foreground(int terminal) {
  const pid_t group = ::tcgetpgrp(terminal);
  return group < 0 || group == ::getpgrp();
}

// Nobody sees it, but it can be interrupted.
class UnseenProgress final : public Progress {
 public:
  void next(std::string_view /*name*/) override { throw_if_interrupted(); }
  void add(std::uint64_t /*bytes*/) override { throw_if_interrupted(); }
};

}  // namespace

std::string progress_line(const ProgressState& state, std::size_t width) {
  std::string line;
  const auto append = [&](const std::string& part) {
    const std::string gap = line.empty() ? "" : "  ";
    if (line.size() + gap.size() + part.size() <= width) line += gap + part;
  };
  append(done_text(state));
  if (state.rate >= 1) {
    append(size_text(state.rate) + "/s");
    if (state.expected > state.done)
      append(time_text(static_cast<double>(state.expected - state.done) / state.rate) + " left");
  }
  if (state.items > 1 && state.item > 0)
    append(fmt::format("blob {} of {}", std::min(state.item, state.items), state.items));
  if (!state.name.empty()) append(state.name);
  return line;
}

TerminalProgress::TerminalProgress(int terminal, Clock::duration wait)
    : terminal_{terminal},
      next_draw_{(Clock::now() + wait).time_since_epoch().count()},
      measured_at_{Clock::now()} {}

TerminalProgress::~TerminalProgress() {
  const std::scoped_lock lock{mutex_};
  if (drawn_ == 0) return;
  rewrite("");
}

void TerminalProgress::expect(std::uint64_t bytes, std::uint64_t items) {
  const std::scoped_lock lock{mutex_};
  state_.expected = bytes;
  state_.items = items;
}

void TerminalProgress::next(std::string_view name) {
  {
    const std::scoped_lock lock{mutex_};
    ++state_.item;
    state_.name = name;
  }
  add(0);
}

void TerminalProgress::add(std::uint64_t bytes) {
  throw_if_interrupted();
  done_ += bytes;
  const Clock::time_point now = Clock::now();
  if (now.time_since_epoch().count() < next_draw_) return;
  if (const std::unique_lock lock{mutex_, std::try_to_lock}; lock) draw(now);
}

void TerminalProgress::draw(Clock::time_point now) {
  next_draw_ = (now + kDrawEvery).time_since_epoch().count();
  measure(now);
  if (!is_in_foreground(terminal_)) return;
  // The last column stays free: a terminal that was written to there goes on to the next line.
  rewrite(progress_line(state_, columns_of(terminal_) - 1));
}

void TerminalProgress::measure(Clock::time_point now) {
  state_.done = done_;
  const double seconds = std::chrono::duration<double>{now - measured_at_}.count();
  if (seconds <= 0) return;
  const double rate = static_cast<double>(state_.done - measured_) / seconds;
  const double weight = state_.rate == 0 ? 1 : 1 - std::exp(-seconds / kSmoothing);
  state_.rate += (rate - state_.rate) * weight;
  measured_at_ = now;
  measured_ = state_.done;
}

// Blanks over what is left of the former line: no escape sequence, which not every terminal knows.
void TerminalProgress::rewrite(const std::string& line) {
  std::string text = "\r" + line;
  if (line.size() < drawn_) text += std::string(drawn_ - line.size(), ' ');
  if (line.empty()) text += "\r";
  drawn_ = line.size();
  [[maybe_unused]] const ssize_t written = ::write(terminal_, text.data(), text.size());
}

std::unique_ptr<Progress> make_progress(bool quiet) {
  if (!quiet && ::isatty(STDERR_FILENO) == 1)
    return std::make_unique<TerminalProgress>(STDERR_FILENO);
  return std::make_unique<UnseenProgress>();
}

}  // namespace ollamafs
