#include "src/say/progress.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <unistd.h>

#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "store/base/unique_fd.h"

namespace ollamafs::test {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST(ProgressLine, SaysHowMuchHowFastAndHowLong) {
  EXPECT_EQ(
      progress_line(
          {.done = 1'300'000'000, .expected = 3'100'000'000, .item = 3, .items = 12, .rate = 512e6},
          100),
      " 41%  1.3 GB of 3.1 GB  512 MB/s  4 s left  blob 3 of 12");
  EXPECT_EQ(
      progress_line({.done = 0, .expected = 10'000'000'000, .rate = 1e6, .name = "m:latest"}, 100),
      "  0%  0 B of 10 GB  1 MB/s  2:46 h left  m:latest");
  EXPECT_EQ(progress_line({.done = 10'000, .expected = 100'000, .rate = 1000}, 100),
            " 10%  10 KB of 100 KB  1 KB/s  1:30 min left");
}

TEST(ProgressLine, SaysNothingThatIsNotKnown) {
  EXPECT_EQ(progress_line({}, 100), "0 B");
  EXPECT_EQ(progress_line({.done = 5000, .rate = 100, .name = "x"}, 100), "5 KB  100 B/s  x");
  EXPECT_EQ(progress_line({.done = 5000, .expected = 5000}, 100), "100%  5 KB of 5 KB");
}

// A blob that grew while it was read, say.
TEST(ProgressLine, DoesNotGoBeyondTheEnd) {
  EXPECT_EQ(progress_line({.done = 6000, .expected = 5000, .item = 4, .items = 3, .rate = 1}, 100),
            "100%  6 KB of 5 KB  1 B/s  blob 3 of 3");
}

TEST(ProgressLine, FitsIntoTheWidth) {
  const ProgressState state{.done = 1'300'000'000,
                            .expected = 3'100'000'000,
                            .item = 3,
                            .items = 12,
                            .rate = 512e6,
                            .name = std::string(71, 'x')};
  for (std::size_t width = 0; width < 150; ++width) {
    EXPECT_LE(progress_line(state, width).size(), width);
  }
  EXPECT_EQ(progress_line(state, 33), " 41%  1.3 GB of 3.1 GB  512 MB/s");
}

// A terminal, and the side of it where a person sits.
class Terminal {
 public:
  explicit Terminal(unsigned short columns) {
    int person = -1, program = -1;
    winsize size{};
    size.ws_col = columns;
    if (::openpty(&person, &program, nullptr, nullptr, &size) != 0)
      throw std::runtime_error{"openpty"};
    person_ = UniqueFd{person};
    program_ = UniqueFd{program};
  }

  [[nodiscard]] int fd() const { return program_.get(); }

  std::string seen() {
    std::string text;
    for (pollfd wait{person_.get(), POLLIN, 0}; ::poll(&wait, 1, 50) > 0;) {
      char buffer[4096];
      const ssize_t got = ::read(person_.get(), buffer, sizeof buffer);
      if (got <= 0) break;
      text.append(buffer, static_cast<std::size_t>(got));
    }
    return text;
  }

 private:
  UniqueFd person_, program_;
};

TEST(TerminalProgress, WritesOneLineAgainAndAgainAndTakesItAway) {
  Terminal terminal{80};
  {
    TerminalProgress progress{terminal.fd(), std::chrono::seconds{0}};
    progress.expect(1000, 2);
    progress.next("first");
    EXPECT_THAT(terminal.seen(), HasSubstr("0%  0 B of 1 KB  blob 1 of 2  first"));
    progress.add(400);
    progress.add(100);
    std::this_thread::sleep_for(std::chrono::milliseconds{250});
    progress.next("second");
    const std::string seen = terminal.seen();
    EXPECT_THAT(seen, ::testing::StartsWith("\r 50%  500 B of 1 KB  "));
    EXPECT_THAT(seen, HasSubstr("blob 2 of 2  second"));
    EXPECT_THAT(seen, Not(HasSubstr("\n")));
  }
  const std::string seen = terminal.seen();
  EXPECT_EQ(seen, "\r" + std::string(seen.size() - 2, ' ') + "\r");
  EXPECT_GT(seen.size(), 30u);
}

TEST(TerminalProgress, SaysNothingOfWhatIsDoneInAMoment) {
  Terminal terminal{80};
  {
    TerminalProgress progress{terminal.fd()};
    progress.expect(1000, 1);
    progress.next("x");
    progress.add(1000);
  }
  EXPECT_THAT(terminal.seen(), IsEmpty());
}

TEST(TerminalProgress, StaysWithinANarrowTerminal) {
  Terminal terminal{20};
  TerminalProgress progress{terminal.fd(), std::chrono::seconds{0}};
  progress.expect(1'000'000'000, 2);
  progress.next(std::string(50, 'x'));
  EXPECT_LT(terminal.seen().size(), 1u + 20u);
}

TEST(TerminalProgress, AddsUpWhatSeveralThreadsDo) {
  Terminal terminal{80};
  TerminalProgress progress{terminal.fd(), std::chrono::milliseconds{100}};
  progress.expect(8000, 1);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 1000; ++k) progress.add(2);
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::this_thread::sleep_for(std::chrono::milliseconds{350});
  progress.add(0);
  EXPECT_THAT(terminal.seen(), HasSubstr("100%  8 KB of 8 KB"));
}

}  // namespace
}  // namespace ollamafs::test
