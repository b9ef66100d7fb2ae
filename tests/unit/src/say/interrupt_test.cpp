#include "src/say/interrupt.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "src/say/progress.h"
#include "store/base/progress.h"

namespace ollamafs::test {
namespace {

TEST(Interrupt, MakesTheNextStepThrow) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    const InterruptGuard guard;
    const auto progress = make_progress(true);
    progress->add(1);
    EXPECT_FALSE(is_interrupted());
    std::raise(signal);
    EXPECT_TRUE(is_interrupted());
    EXPECT_THROW(progress->add(1), Interrupted);
    EXPECT_THROW(progress->next("x"), Interrupted);
  }
  const InterruptGuard fresh;
  EXPECT_FALSE(is_interrupted());
}

// Runs `work` in a process of its own and returns how that ended, as waitpid tells it.
template <class Work>
int end_of(Work work) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(work());
  int status = -1;
  ::waitpid(child, &status, 0);
  return status;
}

TEST(Interrupt, EndsTheProcessAtTheSecondSignal) {
  const int status = end_of([] {
    const InterruptGuard guard;
    std::raise(SIGTERM);
    std::raise(SIGINT);
    return 7;
  });
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGINT);
}

TEST(Interrupt, LeavesTheSignalsAsTheyWere) {
  const int status = end_of([] {
    { const InterruptGuard guard; }
    std::raise(SIGTERM);
    return 7;
  });
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGTERM);
}

TEST(Interrupt, KeepsIgnoringWhatWasIgnored) {
  const int status = end_of([] {
    std::signal(SIGHUP, SIG_IGN);  // nohup(1)
    const InterruptGuard guard;
    std::raise(SIGHUP);
    std::raise(SIGHUP);
    return is_interrupted() ? 7 : 0;
  });
  EXPECT_EQ(status, 0);
}

TEST(Interrupt, MakesAPipeWithoutReaderAnError) {
  const InterruptGuard guard;
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ::close(ends[0]);
  EXPECT_EQ(::write(ends[1], "x", 1), -1);
  EXPECT_EQ(errno, EPIPE);
  ::close(ends[1]);
}

// A write that waits for the reader of a pipe must come back at Ctrl-C.
TEST(Interrupt, EndsASystemCallThatWaits) {
  const int status = end_of([] {
    const InterruptGuard guard;
    int ends[2];
    if (::pipe(ends) != 0) return 1;
    struct sigaction now {};
    if (::sigaction(SIGINT, nullptr, &now) != 0 || (now.sa_flags & SA_RESTART) != 0) return 2;
    const pid_t parent = ::getpid();
    if (::fork() == 0) {
      ::usleep(200'000);
      ::kill(parent, SIGINT);
      ::_exit(0);
    }
    char byte;
    return ::read(ends[0], &byte, 1) == -1 && errno == EINTR && is_interrupted() ? 0 : 3;
  });
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace ollamafs::test
