// How a session begins, what it survives, and how it ends.

#include <gtest/gtest.h>
#include <signal.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "tests/protocol/fake_kernel.h"
#include "tests/protocol/served_store.h"

namespace ollamafs::test {
namespace {

void one_model(const StoreBuilder& store) {
  store.v1("one:a", store.text_model(1));
}

// ---- the beginning ----

// What the session asks for where it is offered. libfuse before 3.17 keeps the wish for parallel
// lookups to itself (libfuse #861).
std::uint32_t wishes() {
  const std::string version = version_of_libfuse();  // "3.14.0"
  const bool parallel = std::stoi(version.substr(version.find('.') + 1)) >= 17;
  return FUSE_EXPORT_SUPPORT | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_READ |
         (parallel ? FUSE_PARALLEL_DIROPS : 0U);
}

// What of this a session gets from a kernel that offers so much.
std::uint32_t granted(std::uint32_t offers) {
  ServedStore store{one_model};
  FakeKernel kernel{store.fs(), {.handshake = false}};
  const auto answer = kernel.init(offers);
  EXPECT_EQ(answer.error, 0);
  EXPECT_EQ(answer.value.major, static_cast<std::uint32_t>(FUSE_KERNEL_VERSION));
  // libfuse always asks for big writes, which no kernel minds.
  EXPECT_EQ(answer.value.flags & ~(offers | FUSE_BIG_WRITES), 0U);
  EXPECT_EQ(kernel.getattr(FUSE_ROOT_ID).error, 0) << "the session did not survive the handshake";
  return answer.value.flags & wishes();
}

TEST(Handshake, SucceedsWithAKernelThatOffersNothing) {
  EXPECT_EQ(granted(0), 0U);
}

TEST(Handshake, TakesAllThatItCanUse) {
  EXPECT_EQ(granted(FakeKernel::kOffersAll), wishes());
}

TEST(Handshake, AsksForNothingThatIsNotOffered) {
  for (const int flags : {FUSE_PARALLEL_DIROPS, FUSE_EXPORT_SUPPORT, FUSE_ASYNC_READ,
                          FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO}) {
    const auto offer = static_cast<std::uint32_t>(flags);
    EXPECT_EQ(granted(offer), offer & wishes());
  }
}

// ---- what it survives, with one thread and with several ----

class SessionTest : public ::testing::TestWithParam<unsigned> {
 protected:
  SessionTest() : kernel{store.fs(), {.threads = GetParam()}} {}

  void expect_alive() {
    EXPECT_EQ(kernel.getattr(FUSE_ROOT_ID).error, 0);
    EXPECT_EQ(kernel.content(manifest), manifest_bytes);
  }

  ServedStore store{one_model};
  FakeKernel kernel;
  const std::uint64_t manifest =
      kernel.walk("models/one+a/manifests/registry.ollama.ai/library/one/a");
  const std::string manifest_bytes = store.builder().text_model(1).json();
};

INSTANTIATE_TEST_SUITE_P(Threads, SessionTest, ::testing::Values(1U, 4U),
                         [](const auto& threads) { return std::to_string(threads.param); });

TEST_P(SessionTest, RefusesWhatItDoesNotKnowAndGoesOn) {
  constexpr std::uint32_t future = 999;
  for (const std::uint32_t opcode :
       {future, std::uint32_t{FUSE_IOCTL}, std::uint32_t{FUSE_LSEEK}}) {
    EXPECT_EQ(kernel.ask(opcode, manifest, std::string(256, '\0')).error, ENOSYS) << opcode;
  }
  expect_alive();
}

TEST_P(SessionTest, RefusesEveryChange) {
  for (const auto opcode :
       {FUSE_SETATTR, FUSE_WRITE, FUSE_MKNOD, FUSE_MKDIR, FUSE_CREATE, FUSE_SYMLINK, FUSE_LINK,
        FUSE_UNLINK, FUSE_RMDIR, FUSE_RENAME2, FUSE_SETXATTR, FUSE_REMOVEXATTR, FUSE_FALLOCATE}) {
    EXPECT_EQ(kernel.ask(opcode, manifest, std::string(256, '\0')).error, ENOSYS) << opcode;
  }
  expect_alive();
}

TEST_P(SessionTest, AnswersEveryRequestThatIsInterruptedWhileItRuns) {
  const std::uint64_t handle = kernel.open(manifest).value.fh;
  for (int i = 0; i < 200; ++i) {
    const std::uint64_t unique = kernel.send(FUSE_READ, manifest, read_body(handle, 0, 4096));
    kernel.interrupt(unique);
    ASSERT_EQ(kernel.wait(unique).value, manifest_bytes);
  }
  EXPECT_EQ(kernel.release(manifest, handle), 0);
  expect_alive();
}

TEST_P(SessionTest, IsNotDisturbedByAnInterruptThatComesBeforeItsRequest) {
  const std::uint64_t unique = kernel.next_unique();
  kernel.interrupt(unique);
  const std::uint64_t sent = kernel.send(FUSE_LOOKUP, FUSE_ROOT_ID, lookup_body("models"));
  ASSERT_EQ(sent, unique);
  EXPECT_EQ(kernel.wait(sent).error, 0);
  expect_alive();
}

TEST_P(SessionTest, IsNotDisturbedByAnInterruptThatComesAfterItsReply) {
  const std::uint64_t unique = kernel.send(FUSE_STATFS, FUSE_ROOT_ID);
  EXPECT_EQ(kernel.wait(unique).error, 0);
  kernel.interrupt(unique);
  expect_alive();
}

// ---- the end ----

// So many requests at once that the session takes all the threads that it may have.
void keep_all_threads_busy(FakeKernel& kernel) {
  std::vector<std::uint64_t> sent;
  for (int i = 0; i < 64; ++i) {
    sent.push_back(kernel.send(FUSE_GETATTR, FUSE_ROOT_ID, getattr_body()));
  }
  for (const std::uint64_t unique : sent) EXPECT_EQ(kernel.wait(unique).error, 0);
}

TEST_P(SessionTest, EndsWhenTheKernelHangsUp) {
  kernel.disconnect();
  EXPECT_NO_THROW(kernel.wait_for_end());
}

TEST_P(SessionTest, EndsWhenTheKernelHangsUpOnARequest) {
  kernel.disconnect(ECONNABORTED);
  EXPECT_NO_THROW(kernel.wait_for_end());
}

TEST_P(SessionTest, EndsAfterDestroy) {
  EXPECT_EQ(kernel.ask(FUSE_DESTROY, FUSE_ROOT_ID).error, 0);
  kernel.disconnect();
  EXPECT_NO_THROW(kernel.wait_for_end());
}

TEST_P(SessionTest, EndsWhenItIsToldToStop) {
  keep_all_threads_busy(kernel);
  kernel.session().stop();
  EXPECT_NO_THROW(kernel.wait_for_end());
}

TEST_P(SessionTest, ReportsAConnectionThatBreaks) {
  kernel.send_garbage("x");
  EXPECT_THROW(kernel.wait_for_end(), std::system_error);
}

// Who began this program may have had the signal blocked that wakes the threads.
TEST(SessionEnd, ComesAlthoughSignalsAreBlocked) {
  sigset_t all, before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  {
    ServedStore store{one_model};
    FakeKernel kernel{store.fs(), {.threads = 4}};
    keep_all_threads_busy(kernel);
    kernel.session().stop();
    EXPECT_NO_THROW(kernel.wait_for_end());
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

// No thread takes the lock of stderr with it, for which the end of the program would wait.
TEST(SessionEnd, LeavesStderrUnlocked) {
  for (int i = 0; i < 50; ++i) {
    ServedStore store{one_model};
    FakeKernel kernel{store.fs(), {.threads = 8}};
    keep_all_threads_busy(kernel);
    kernel.disconnect(ECONNABORTED);
    EXPECT_NO_THROW(kernel.wait_for_end());
    ASSERT_EQ(::ftrylockfile(stderr), 0) << "round " << i;
    ::funlockfile(stderr);
  }
}

// A mount that is torn away, or left at the second signal, sends no release for what is open.
TEST(SessionEnd, ClosesWhatIsStillOpen) {
  ServedStore store{one_model};
  auto tree = store.scan();
  const std::weak_ptr<const Tree> shown = tree;
  store.fs().publish(std::move(tree));
  {
    FakeKernel kernel{store.fs()};
    EXPECT_EQ(kernel.open(kernel.walk("archives/one+a.tar")).error, 0);
    EXPECT_EQ(store.fs().usage().blobs, 4U);
  }
  EXPECT_EQ(store.fs().usage().blobs, 0U);
  store.rescan();
  EXPECT_TRUE(shown.expired()) << "the archive is still open";
}

// ---- replies that the kernel does not take, as when the caller was killed ----

class RefusedReply : public ::testing::Test {
 protected:
  void refuse(std::uint32_t opcode, std::uint64_t node, std::string_view body) {
    kernel.send_refused(opcode, node, body);
    kernel.settle();
  }

  ServedStore store{one_model};
  FakeKernel kernel{store.fs()};
};

// No release will ever come for it.
TEST_F(RefusedReply, ToAnOpenLeavesNothingOpen) {
  const std::uint64_t archive = kernel.walk("archives/one+a.tar");
  refuse(FUSE_OPEN, archive, open_body(O_RDONLY));
  EXPECT_EQ(store.fs().usage().blobs, 0U);
  const auto opened = kernel.open(archive);
  EXPECT_EQ(store.fs().usage().blobs, 4U);  // weights, template, params, config: the count counts
  EXPECT_EQ(kernel.release(archive, opened.value.fh), 0);
}

TEST_F(RefusedReply, ToAnythingElseIsForgotten) {
  const std::uint64_t archive = kernel.walk("archives/one+a.tar");
  const std::uint64_t handle = kernel.open(archive).value.fh;
  refuse(FUSE_READ, archive, read_body(handle, 0, 1 << 20));
  refuse(FUSE_GETATTR, archive, getattr_body());
  refuse(FUSE_LOOKUP, FUSE_ROOT_ID, lookup_body("models"));
  EXPECT_EQ(kernel.read(archive, handle, 0, 512).value.size(), 512U);
  EXPECT_EQ(kernel.release(archive, handle), 0);
}

}  // namespace
}  // namespace ollamafs::test
