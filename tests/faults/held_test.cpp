// A disk that does not answer holds up who waits for it, and nobody else.
#include <gmock/gmock.h>
#include <signal.h>

#include <filesystem>
#include <future>
#include <optional>
#include <string>

#include "tests/faults/faulty_mount.h"
#include "tests/mounted/walk.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

class Held : public ::testing::Test {
 protected:
  Held() {
    store_.v1("one:a", one_);
    store_.v1("two:a", two_);
    mounted_.emplace(store_.root());
  }

  [[nodiscard]] fs::path weights_of(const ManifestSpec& model, const std::string& shown) const {
    return faulty_.mount / "models" / shown / "blobs" / digest_of(model.layers[0]).blob_name();
  }
  [[nodiscard]] std::string right(const ManifestSpec& model) const {
    return read_file(store_.blob_path(digest_of(model.layers[0])));
  }
  void wait_for_held() {
    ASSERT_TRUE(eventually([&] { return faulty_.plan->waiting > 0; }));
  }

  // Listing and stat of all that copiers read, and reading what is in memory. A view that sleeps is
  // not woken meanwhile, and a Modelfile is made of blobs (docs/view.md §1).
  void expect_that_others_go_on() {
    EXPECT_EQ(
        run({"find", faulty_.mount / "models", faulty_.mount / "archives", "-ls"}, {.timeout = 10s})
            .status,
        0);
    EXPECT_EQ(run({"cat", (faulty_.mount / "README.txt").string()}, {.timeout = 10s}).status, 0);
  }

  TempDir dir_;
  StoreBuilder store_{dir_ / "store"};
  ManifestSpec one_ = store_.text_model(1, 3'000'000), two_ = store_.text_model(2, 3'000'000);
  std::optional<FaultyMount> mounted_;
  FaultyMount& faulty_ = *mounted_;
};

TEST_F(Held, AReadHoldsUpNobodyElse) {
  faulty_.plan->held = call::kPread;
  auto reader = std::async(std::launch::async,
                           [&] { return read_file(weights_of(one_, "one+a")) == right(one_); });
  wait_for_held();
  expect_that_others_go_on();
  EXPECT_EQ(reader.wait_for(0s), std::future_status::timeout);
  faulty_.plan->held = 0;
  EXPECT_TRUE(reader.get());
}

TEST_F(Held, AnOpenHoldsUpNobodyElse) {
  faulty_.plan->held = call::kOpens;
  auto reader = std::async(std::launch::async,
                           [&] { return read_file(weights_of(one_, "one+a")) == right(one_); });
  wait_for_held();
  expect_that_others_go_on();
  faulty_.plan->held = 0;
  EXPECT_TRUE(reader.get());
}

TEST_F(Held, ALookAtTheStoreHoldsUpNobody) {
  faulty_.plan->held = call::kReaddir;
  store_.v1("three:a", store_.text_model(3));
  wait_for_held();
  expect_that_others_go_on();
  EXPECT_TRUE(read_file(weights_of(one_, "one+a")) == right(one_));
  EXPECT_TRUE(read_file(weights_of(two_, "two+a")) == right(two_));
  faulty_.plan->held = 0;
  EXPECT_TRUE(eventually([&] { return fs::exists(faulty_.mount / "models/three+a"); }));
}

// Slow is not wrong.
TEST_F(Held, DelaysChangeNothing) {
  faulty_.plan->delay_us = 3000;
  faulty_.plan->delayed = call::kAll;
  store_.v1("three:a", one_);
  EXPECT_TRUE(read_file(weights_of(one_, "one+a")) == right(one_));
  EXPECT_TRUE(eventually([&] { return fs::exists(faulty_.mount / "models/three+a"); }));
  EXPECT_TRUE(read_file(weights_of(one_, "three+a")) == right(one_));
}

// The first signal takes the mount out of sight at once, whatever is waited for.
TEST_F(Held, ADaemonCanBeEndedThatWaits) {
  faulty_.plan->held = call::kPread;
  auto reader = std::async(std::launch::async,
                           [&] { return read_file(weights_of(one_, "one+a")) == right(one_); });
  wait_for_held();
  faulty_.mount.daemon().signal(SIGTERM);
  EXPECT_TRUE(eventually([&] { return !is_mounted(faulty_.mount.path()); }));
  faulty_.plan->held = 0;
  EXPECT_TRUE(reader.get());
}

// The second ends it, although a request will never be answered.
TEST_F(Held, ADaemonLeavesAtTheSecondSignal) {
  faulty_.plan->held = call::kPread;
  auto reader = std::async(std::launch::async, [&] {
    return run({"cat", weights_of(one_, "one+a")});
  });
  wait_for_held();
  faulty_.mount.daemon().signal(SIGTERM);
  ASSERT_TRUE(eventually([&] { return !is_mounted(faulty_.mount.path()); }));
  faulty_.mount.daemon().signal(SIGTERM);
  EXPECT_EQ(reader.wait_for(4s), std::future_status::ready) << "it waits for the daemon to leave";
  EXPECT_NE(reader.get().status, 0);
  faulty_.mount.expect_status(128 + SIGALRM);
  EXPECT_EQ(faulty_.mount.daemon().wait(20s), 128 + SIGALRM);
}

// So it does where the store is what it waits for.
TEST_F(Held, ADaemonLeavesThatReadsTheStore) {
  faulty_.plan->held = call::kReaddir;
  store_.v1("three:a", store_.text_model(3));
  wait_for_held();
  faulty_.mount.daemon().signal(SIGTERM);
  ASSERT_TRUE(eventually([&] { return !is_mounted(faulty_.mount.path()); }));
  faulty_.mount.daemon().signal(SIGTERM);
  faulty_.mount.expect_status(128 + SIGALRM);
  EXPECT_EQ(faulty_.mount.daemon().wait(20s), 128 + SIGALRM);
}

}  // namespace
}  // namespace ollamafs::test
