// One allocation after the other fails: whatever was asked for fails with it or does not, nothing
// ends the program, and the next time it works.
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <new>
#include <string>
#include <thread>

#include "fs/serve/file_system.h"
#include "fs/serve/live_view.h"
#include "fs/views/views.h"
#include "store/catalog/model_query.h"
#include "tests/faults/faulty_memory.h"
#include "tests/support/process.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

class Memory : public ::testing::Test {
 protected:
  Memory() {
    store_.v1("plain:a", store_.text_model(1, 100'000));
    store_.v1("hf.co/some/broken:b", store_.text_model(2, 100'000));
    fs::remove(store_.blob_path(*Digest::parse(store_.text_model(2, 100'000).layers[0].digest)));
    store_.v2("both:a", store_.text_model(3, 100'000));
  }

  // Lets every allocation of `action` fail in turn. Returns how many there are.
  template <class Action>
  std::uint64_t at_every_allocation(Action&& action) {
    for (std::uint64_t n = 1;; ++n) {
      plan_.clear();
      plan_.allocation_to_fail = n;
      fail_allocations_by(&plan_);
      try {
        action();
      } catch (const std::bad_alloc&) {
      }
      fail_allocations_by(nullptr);
      if (plan_.allocations_failed == 0) return n - 1;
      if (HasFatalFailure()) return 0;
    }
  }

  [[nodiscard]] std::shared_ptr<const Tree> tree(const Tree* previous = nullptr) const {
    return build_tree(Catalog::read(dir_), {}, {"/view", store_.root()}, previous);
  }

  // Lists a directory with all below it, or reads a file. Returns how many requests failed.
  static int use(FileSystem& view, const fs::path& path) {
    NodeRef node = view.find(kRootInode);
    for (const fs::path& name : path) {
      std::error_code ec;
      node = view.lookup(node, name.string(), ec);
      if (ec) return 1;
    }
    return use(view, node);
  }
  static int use(FileSystem& view, NodeRef node) {
    if (!node->is_directory()) return read(view, node);
    int failed = view.list(node, true).is_whole() ? 0 : 1;
    for (const Dentry& entry : node.tree->entries(*node)) {
      std::error_code ec;
      const NodeRef child = view.lookup(node, entry.name, ec);
      failed += child ? use(view, child) : 1;
    }
    return failed;
  }
  static int read(FileSystem& view, const NodeRef& node) {
    constexpr std::size_t size = 1 << 20;
    std::error_code ec;
    try {
      const auto file = view.open_file(node, ec);
      const auto room = std::make_unique<char[]>(size);
      std::size_t count = ec ? 0 : view.files().read(*file, room.get(), size, 0, ec);
      while (ec == BlobFault::unverified && view.files().verify_on(*file->content, size, 0, ec)) {
      }
      if (!ec && count == 0) count = view.files().read(*file, room.get(), size, 0, ec);
      if (!ec) {
        EXPECT_EQ(count, node->size);
      }
    } catch (const std::bad_alloc&) {
      ec = std::make_error_code(std::errc::not_enough_memory);
    }
    if (ec) view.request_failed(node, Tool{}, ec.default_error_condition().value());
    return ec ? 1 : 0;
  }

  TempDir temp_;
  StoreBuilder store_{temp_ / "store"};
  StoreDir dir_{store_.root(), OutsideLinks::refuse};
  FaultPlan plan_;
};

TEST_F(Memory, ThatRunsOutWhileAStoreIsReadLosesNoModel) {
  const auto right = Catalog::read(dir_);
  EXPECT_GT(at_every_allocation([&] {
              const auto catalog = Catalog::read(dir_);
              EXPECT_TRUE(*catalog == *right);
            }),
            200u);
}

TEST_F(Memory, ThatRunsOutWhileATreeIsMadeMakesNone) {
  const auto catalog = Catalog::read(dir_);
  EXPECT_GT(at_every_allocation([&] {
              (void)build_tree(catalog, {}, {"/view", store_.root()});
            }),
            50u);
}

// What is shown, the kernel is told of; else nothing has changed.
TEST_F(Memory, ThatRunsOutWhileATreeIsPublishedChangesNothing) {
  const auto before = tree();
  store_.v1("new:a", store_.text_model(1, 100'000));
  const auto after = tree(before.get());
  bool told = false;
  EXPECT_GT(
      at_every_allocation([&] {
        told = false;
        FileSystem view{
            dir_, before, {}, [](const std::string&) {}, [&](const CacheNotices&) { told = true; }};
        try {
          view.publish(after);
        } catch (const std::bad_alloc&) {
        }
        EXPECT_EQ(told, view.current() == after);
      }),
      5u);
}

TEST_F(Memory, ThatRunsOutForOneRequestLeavesTheOthers) {
  const auto shown = tree();
  for (const char* const path : {"models/plain+a", "archives/plain+a.tar"}) {
    for (const Verify verify : {Verify::no, Verify::yes}) {
      FileSystem view{dir_, shown, {}, [](const std::string&) {}, [](const CacheNotices&) {},
                      20ms, verify};
      EXPECT_GT(at_every_allocation([&] { use(view, path); }), 3u);
      std::this_thread::sleep_for(30ms);
      EXPECT_EQ(use(view, path), 0) << path;
    }
  }
}

// The live view goes on, whatever it lacked, and catches up.
TEST_F(Memory, ThatRunsOutForTheLiveViewIsMadeUpFor) {
  StoreScanner scanner{dir_, true};
  auto first = scanner.scan();
  FileSystem view{dir_,
                  build_tree(first, {}, {"/view", store_.root()}),
                  {},
                  [](const std::string&) {},
                  [](const CacheNotices&) {}};
  LiveView::Calls calls;
  calls.make_tree = [&](std::shared_ptr<const Catalog> catalog,
                        std::shared_ptr<const Catalog> stored, const Tree* previous) {
    return build_tree(std::move(catalog), std::move(stored), {}, {"/view", store_.root()},
                      previous);
  };
  calls.changed = [](const Catalog&, const Catalog&) {};
  calls.note = [](const std::string&) {};
  const LiveView live{scanner, view, first, calls, {.quiet = 1ms, .patience = 10ms}};
  plan_.clear();
  plan_.allocations_to_one = 100;
  fail_allocations_by(&plan_);
  for (int i = 0; i < 10; ++i) {
    try {  // this thread's memory fails too
      write_file(store_.root() / "manifests/registry.ollama.ai/library/plain/b", "{");
    } catch (const std::bad_alloc&) {
    }
    std::this_thread::sleep_for(20ms);
  }
  fail_allocations_by(nullptr);
  EXPECT_GT(plan_.allocations_failed, 0u);
  store_.v1("late:a", store_.text_model(1, 100'000));
  EXPECT_TRUE(
      eventually([&] { return find_model(view.current()->catalog(), "late:a") != nullptr; }));
}

}  // namespace
}  // namespace ollamafs::test
